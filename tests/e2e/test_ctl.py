"""hawserctl: list, status, close, stop, loglevel, --json, and its exit status."""
import json
import re
import subprocess

import pytest

from daemon import HAWSERCTL, HAWSERD
from util import alive, kill, wait_for


def items(box, *args):
    """The items of a --json answer."""
    result = box.ctl(*args, "--json")
    assert result.status == 0, result
    reply = json.loads(result.text)
    return reply["items"] if isinstance(reply, dict) and "items" in reply else reply


@pytest.mark.core
def test_list(warm):
    """One line per transport, with who and where."""
    text = warm.ctl("list").text
    assert f"{warm.account.name}@127.0.0.1:{warm.sshd.port}" in text and "ready" in text


def test_list_json(warm):
    """--json gives the same as data."""
    [transport] = items(warm, "list")
    assert transport["label"] == f"{warm.account.name}@127.0.0.1:{warm.sshd.port}"
    assert transport["state"] == "ready" and transport["sessions"] == 0
    assert transport["server"].startswith("SSH-2.0-OpenSSH")


def test_list_counts_sessions(warm):
    """Running sessions are counted, and their end as well."""
    procs = [warm.popen("h", "echo begun; exec sleep 4440") for _ in range(3)]
    for proc in procs:
        proc.stdout.readline()
    assert items(warm, "list")[0]["sessions"] == 3
    for proc in procs:
        kill(proc.pid)
    wait_for(lambda: items(warm, "list")[0]["sessions"] == 0, "no session any more")


def test_list_when_nothing_is_held(box):
    """Nothing held: status 0, and no transport."""
    assert items(box, "list") == []
    assert box.ctl("list").status == 0


def test_status_of_the_daemon(warm):
    """status without a host tells of the daemon."""
    assert str(warm.daemon_pid()) in warm.ctl("status").text


def test_status_of_a_host(warm):
    """status HOST: by the name that was typed; unknown: 1 and a sentence."""
    assert "ready" in warm.ctl("status", "h").text
    result = warm.ctl("status", "nosuch")
    assert result.status == 1 and "nosuch" in result.err


@pytest.mark.core
def test_close(warm):
    """close HOST ends an idle transport; the next call logs in again."""
    assert warm.ctl("close", "h").status == 0
    wait_for(lambda: not warm.sshd.workers(), "the server sees the end")
    assert warm.ok("h", "echo again") == "again\n" and warm.sshd.logins() == 2


def test_close_lets_sessions_end(warm):
    """close waits for what runs, and puts nothing new on that transport."""
    proc = warm.popen("h", "echo begun; read x; echo ended", stdin=subprocess.PIPE)
    proc.stdout.readline()
    assert warm.ctl("close", "h").status == 0
    assert warm.ok("h", "echo new") == "new\n" and warm.sshd.logins() == 2
    proc.stdin.write(b"go\n")
    proc.stdin.close()
    assert proc.stdout.read() == b"ended\n" and proc.wait(20) == 0


def test_close_during_a_login(box):
    """A login that somebody waits for is not cut; with --force it is, and they hear why."""
    with box.sshd.stopped():
        client = box.popen("h", "echo on")
        wait_for(lambda: items(box, "list"), "the login has begun")
        assert box.ctl("close", "h").status == 1
    assert client.communicate(timeout=20)[0] == b"on\n"
    box.ctl("close", "h")
    wait_for(lambda: not items(box, "list"), "closed")
    with box.sshd.stopped():
        client = box.popen("h", "echo on")
        wait_for(lambda: items(box, "list"), "the login has begun")
        assert box.ctl("close", "h", "--force").status == 0
        assert client.wait(20) == 255 and b"ended on request" in client.stderr.read()
        assert not items(box, "list")


def test_close_unknown(warm):
    """close of what is not held: 1 and a sentence with the name."""
    result = warm.ctl("close", "nosuch")
    assert result.status == 1 and "nosuch" in result.err


@pytest.mark.core
def test_stop(warm):
    """stop: the daemon ends with status 0."""
    pid = warm.daemon_pid()
    assert warm.ctl("stop").status == 0
    wait_for(lambda: not alive(pid) or warm.daemon.poll() is not None, "the daemon's end")
    assert warm.daemon.wait(20) == 0


def test_without_a_daemon(bare):
    """No daemon: said, none is started; list has nothing to show."""
    for words in (["list"], ["status"], ["stop"], ["close", "h"]):
        result = bare.ctl(*words)
        assert result.status in (0, 1) and not bare.daemon_pid(), result
        assert re.search("(?i)no.*running|not running|no hawserd", result.err + result.text), result


@pytest.mark.core
@pytest.mark.parametrize("words", [[], ["nosuchverb"], ["close"], ["list", "--nosuchoption"],
                                   ["status", "a", "b", "c"]])
def test_wrong_usage_is_2(box, words):
    """Wrong usage: 2, with the usage or the reason on stderr."""
    result = box.ctl(*words)
    assert result.status == 2 and result.err and result.out == b""


def test_help_and_version(bare):
    """--help and --version answer on stdout with 0, for both programs."""
    for program in (HAWSERCTL, HAWSERD):
        for option in ("--help", "--version"):
            done = subprocess.run([program, option], env=bare.env, capture_output=True, timeout=20)
            assert done.returncode == 0 and done.stdout and not done.stderr, (program, option)


def test_loglevel(warm):
    """loglevel shows and sets; a wrong one is refused."""
    assert "debug" in warm.ctl("loglevel").text
    assert warm.ctl("loglevel", "info").status == 0
    assert "info" in warm.ctl("loglevel").text
    assert warm.ctl("loglevel", "loud").status in (1, 2)


def test_many_at_once(warm):
    """Listing from many clients at once."""
    procs = [subprocess.Popen([HAWSERCTL, "list"], env=warm.env, stdout=subprocess.PIPE)
             for _ in range(20)]
    for proc in procs:
        assert b"ready" in proc.communicate(timeout=30)[0] and proc.returncode == 0


@pytest.fixture
def named(bare):
    """One host that has two names."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("one two", bare.sshd)
    bare.start_daemon()
    return bare


def test_two_names_of_one_host(named):
    """They share a connection: each of them is as good for hawserctl."""
    named.ok("one", "true")
    named.ok("two", "true")
    assert named.sshd.logins() == 1
    for name in "one", "two":
        assert named.ctl("status", name).status == 0
    assert named.ctl("close", "two").status == 0
    assert "closed on request" in named.ctl("why", "two").text
    assert "closed on request" in named.ctl("why", "one").text


def test_second_name_of_what_waits(named):
    """What is listed by a name can be closed by it."""
    named.ok("two", "true")
    client = named.popen("-N", "one")
    wait_for(lambda: [t for t in json.loads(named.ctl("list", "--json").text)["items"]
                      if t["state"] == "ready"], "it stands")
    named.ok("one", "true")
    named.sshd.stop()
    wait_for(lambda: "next try" in named.ctl("status", "two").text, "the wait")
    assert named.ctl("close", "--force", "two").status == 0
    assert client.wait(20) == 255
