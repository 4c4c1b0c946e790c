"""A request runs at most once: the connection is killed at each step that a request can be at. What
the user reads, what --status-fd tells, and how often the command really ran, agree."""
import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

from daemon import HAWSER
from test_suspect import Frozen, doubt
from util import alive, free_port, kill, read_text, wait_for


class Call:
    """hawser --status-fd in the background."""

    def __init__(self, box, *args, env=None, by_env=False, **popen):
        self.read, write = os.pipe()
        words = [] if by_env else ["--status-fd", write]
        extra = {"HAWSER_STATUS_FD": str(write)} if by_env else {}
        self.proc = box.popen(*words, *args, env={**(env or {}), **extra}, pass_fds=[write],
                              **popen)
        os.close(write)

    def end(self, timeout=30):
        """(exit status, stdout, stderr, the object)"""
        out, err = self.proc.communicate(timeout=timeout)
        with os.fdopen(self.read) as f:
            text = f.read()
        assert text.count("\n") == 1, text
        return self.proc.returncode, out.decode(), err.decode(errors="replace"), json.loads(text)


def ran(box):
    """How often the command appended its line."""
    return read_text(box.dir / "ran").count("x")


def append(box, rest=""):
    """A command that says so when it runs."""
    return f"echo x >>{box.dir}/ran; {rest}"


@pytest.fixture
def away(warm):
    """The account may write there."""
    (warm.dir / "ran").touch()
    (warm.dir / "ran").chmod(0o666)
    return warm


@pytest.fixture
def unwarmed(bare):
    """Channels are opened for each request."""
    bare.daemon_conf(warm=0)
    bare.sshd = bare.server()
    bare.host("h", bare.sshd)
    bare.trust(bare.sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    (bare.dir / "ran").touch()
    (bare.dir / "ran").chmod(0o666)
    return bare


@pytest.mark.core
def test_done(away):
    """Its own end: status, and the connection that was there."""
    status, _, err, told = Call(away, "h", append(away, "exit 7")).end()
    assert status == 7 and err == "" and ran(away) == 1
    assert told["exit"] == 7 and told["stage"] == "done" and told["started"] is True
    assert told["transport"] == "reused" and told["cause"] is None and told["signal"] is None


def test_done_by_signal(away):
    """The remote command's own signal."""
    status, _, _, told = Call(away, "h", "kill -TERM $$").end()
    assert status == 255 and told["signal"] == "TERM" and told["stage"] == "done"


def test_new_connection(box):
    """The first request opens one; HAWSER_STATUS_FD is as good as the option."""
    status, _, _, told = Call(box, "h", "true", by_env=True).end()
    assert status == 0 and told["transport"] == "new" and told["transport_id"] > 0


def test_waiting(away):
    """The login fails: nothing was sent."""
    away.sshd.stop()
    wait_for(lambda: not json.loads(away.ctl("--json", "list").text)["items"], "the loss is seen")
    status, _, err, told = Call(away, "h", append(away)).end()
    assert status == 255 and "refused" in err and ran(away) == 0
    assert told["stage"] == "waiting" and told["started"] is False
    assert told["cause"] == "refused" and told["transport"] is None and told["error"] in err


def test_opening(unwarmed):
    """The connection dies before the channel is open: the request moves on, and nobody notices."""
    with Frozen(unwarmed.sshd):
        call = Call(unwarmed, "h", append(unwarmed, "echo on"))
        wait_for(lambda: unwarmed.ctl("--json", "list").text.count('"sessions": 1') == 1
                 or '"sessions":1' in unwarmed.ctl("--json", "list").text, "it is opening")
        unwarmed.sshd.cut()
    status, out, err, told = call.end()
    assert (status, out, err) == (0, "on\n", "") and ran(unwarmed) == 1
    assert told["stage"] == "done"


@pytest.mark.core
def test_sent(away):
    """It dies when the request was sent and not answered: over, and not known whether it ran."""
    with Frozen(away.sshd):
        call = Call(away, "h", append(away, "echo on"))
        wait_for(lambda: '"sessions":1' in away.ctl("--json", "list").text.replace(" ", ""),
                 "it is sent")
        away.sshd.cut()
    status, out, err, told = call.end()
    assert status == 255 and out == "" and "not known whether the command ran" in err
    assert told["stage"] == "sent" and told["started"] == "unknown" and told["cause"]
    assert ran(away) == 0  # the server died before: but who could know


@pytest.mark.core
def test_running(away):
    """It dies while the command runs: over, with the time that it had."""
    call = Call(away, "h", append(away, "echo on; exec sleep 60"))
    assert call.proc.stdout.readline() == b"on\n"
    away.sshd.cut()
    status, _, err, told = call.end()
    assert status == 255 and "the command had been running for 0." in err
    assert told["stage"] == "running" and told["started"] is True and told["exit"] == 255
    assert told["evidence"] and ran(away) == 1


def test_refused_request(away):
    """What the server does not let run has not run."""
    status, _, _, told = Call(away, "-s", "h", "nosuch").end()
    assert status != 0 and told["started"] is False


def test_silent_connection(away):
    """Dead when it comes, and known to be: the request never gets there."""
    with Frozen(away.sshd):
        doubt(away)
        status, out, _, told = Call(away, "h", append(away, "echo on")).end()
    assert (status, out, ran(away)) == (0, "on\n", 1) and told["transport"] == "new"


def test_daemon_stopped(away):
    """hawserctl stop --now under a command that runs."""
    call = Call(away, "h", append(away, "echo on; exec sleep 60"))
    assert call.proc.stdout.readline() == b"on\n"
    away.ctl("stop", "--now")
    status, _, err, told = call.end()
    assert status == 255 and "hawserd was stopped; the command had been running for" in err
    assert told["cause"] == "daemon-stopped" and told["stage"] == "running"


@pytest.mark.core
def test_daemon_killed(away):
    """No last word of the daemon: what the client knows."""
    away.judge_exit = False
    call = Call(away, "h", append(away, "echo on; cat; sleep 60"), stdin=subprocess.PIPE)
    assert call.proc.stdout.readline() == b"on\n"
    # Output goes past the client, which by now has been told of the start.
    call.proc.stdin.write(b"and on\n")
    call.proc.stdin.flush()
    assert call.proc.stdout.readline() == b"and on\n"
    pid = away.daemon_pid()
    kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "its end")
    status, _, err, told = call.end()
    assert status == 255 and "may still run" in err
    assert told["started"] is True and told["stage"] is None and "hawserd ended" in told["error"]


def test_client_is_told_to_end(away):
    """A signal while the command runs."""
    call = Call(away, "h", append(away, "echo on; exec sleep 60"))
    assert call.proc.stdout.readline() == b"on\n"
    call.proc.send_signal(signal.SIGTERM)
    status, _, _, told = call.end()
    assert status == 255 and told["started"] is True


def test_stop_when_sent(away):
    """hawserd is stopped when the request is out: the object says, as the line does, that it is not
    known whether it ran."""
    with Frozen(away.sshd):
        call = Call(away, "h", append(away))
        wait_for(lambda: json.loads(away.ctl("list", "--json").text)["items"][0]["sessions"],
                 "sent")
        away.ctl("stop", "--now")
        status, _, err, told = call.end()
    assert status == 255 and "not known whether" in err
    assert told["started"] == "unknown" and told["stage"] == "sent"


def test_stop_when_done(away, echoing):
    """The command has ended, its forwarded connections have not: how it ended is known."""
    port = free_port()
    call = Call(away, "-v", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", "cat; exit 3",
                stdin=subprocess.PIPE)

    def connect():
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        return None
    with wait_for(connect, "the forward") as open_one:
        open_one.sendall(b"x")
        assert open_one.recv(1) == b"x"
        call.proc.stdin.close()
        while b"waiting for forwarded" not in (line := call.proc.stderr.readline()):
            assert line
        away.ctl("stop", "--now")
        call.proc.stdin = None
        status, _, err, told = call.end()
    assert status == 3 and told["exit"] == 3 and told["started"] is True and "not known" not in err


@pytest.mark.parametrize("number", ["1", "2"])
def test_beside_the_words_of_ssh(box, number):
    """A call that becomes ssh's keeps its output where the object goes to the same place."""
    box.host("p", box.sshd, PKCS11Provider="/nowhere.so")
    result = box.run("--status-fd", number, "p", "echo out; echo err >&2",
                     env={"HAWSER_FALLBACK": None})
    assert result.out.startswith(b"out\n" if number == "2" else b"{") and b"err" in \
        result.err.encode(), result
    assert "handed_to" in result.err + result.out.decode() and "out\n" in result.out.decode()


def test_nobody_reads(away):
    """The descriptor is a pipe that is full: said, and the call ends."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    done = subprocess.run([*away.command("--status-fd", write, "h", "exit 7")], env=away.env,
                          pass_fds=[write], timeout=30, check=False, stderr=subprocess.PIPE)
    assert done.returncode == 7 and b"status could not be written" in done.stderr
    os.close(read)
    os.close(write)


def test_no_request(away):
    """Words that make none, and a call that is ssh's."""
    status, _, _, told = Call(away, "h", "true", env={"HAWSER_SOCKET": "relative"}).end()
    assert status == 255 and told["started"] is False
    call = Call(away, "-V", env={"HAWSER_FALLBACK": None})
    status, _, err, told = call.end()
    assert status == 0 and "OpenSSH" in err and told == {"handed_to": "ssh", "why": "option -V"}


@pytest.mark.parametrize("handed_over", [False, True])
def test_of_this_call_alone(bare, handed_over):
    """A hawser in its ProxyCommand or LocalCommand has another end, which is nobody's."""
    gate, far = bare.server(), bare.server()
    bare.trust(gate)
    bare.trust(far)
    bare.host("gate", gate)
    bare.host("far", far, ProxyCommand=f"{HAWSER} -F {bare.config} -W %h:%p gate",
              PermitLocalCommand="yes", LocalCommand=f"{HAWSER} -F {bare.config} gate true")
    bare.start_daemon()
    words = ("-o", "VerifyHostKeyDNS=yes") if handed_over else ()
    env = {"HAWSER_FALLBACK": None} if handed_over else {}
    status, _, err, told = Call(bare, *words, "far", "true", env=env, by_env=True).end()
    assert status == 0 and "descriptor" not in err
    assert ("handed_to" in told) == handed_over


def test_what_did_not_begin(away):
    """Each end has all members; what was refused at once did not start."""
    whole = set(Call(away, "h", "true").end()[3])
    told = Call(away, "-o", "NoSuchOption=1", "h", "true").end()[3]
    assert told["cause"] == "config" and told["started"] is False
    away.ctl("lock")
    locked = Call(away, "h", "true").end()[3]
    away.ctl("unlock")
    assert locked["cause"] == "locked" and locked["started"] is False
    alone = Call(away, "-w", "any", "h", "true").end()[3]  # hawserd does not hear of it
    assert alone["exit"] == 255 and alone["started"] is False
    assert set(told) == set(locked) == set(alone) == whole


def test_daemon_that_is_killed(away):
    """The daemon's own end is the cause; the next one notes it."""
    call = Call(away, "h", "echo on; exec sleep 60")
    assert call.proc.stdout.readline() == b"on\n"
    away.judge_exit = False
    kill(away.daemon.pid)
    status, _, _, told = call.end()
    assert status == 255 and told["cause"] == "daemon-stopped"
    for notes in 1, 2:
        away.daemon.wait()
        away.start_daemon()
        wait_for(lambda n=notes: away.ctl("log").text.count("ended without a word") == n, "a note")
        journal = away.dir / "state/hawser/journal"
        wait_for(lambda n=notes: read_text(journal).count("ended without a word") == n, "the disk")
        if notes == 1:
            kill(away.daemon.pid)


def test_descriptor_that_is_not_open(away):
    """Said, and the call goes on."""
    result = away.run("--status-fd", "99", "h", "echo on")
    assert result.status == 0 and result.out == b"on\n" and "not open" in result.err
    result = away.run("h", "echo on", env={"HAWSER_STATUS_FD": "x"})
    assert result.status == 0 and "is no descriptor" in result.err


def test_bytes_that_are_no_text(away):
    """The object is JSON whatever a name or a server's word holds."""
    status, _, _, told = Call(away, "no\udcffhost", "true").end()
    assert status == 255 and r"no\377host" in told["error"]


def test_not_inherited(away):
    """Whoever comes after hawser in a pipeline sees the end of the object."""
    read, write = os.pipe()
    done = subprocess.run([*away.command("--status-fd", write, "h", "true")], env=away.env,
                          pass_fds=[write], timeout=30, check=False)
    os.close(write)
    with os.fdopen(read) as f:
        assert json.loads(f.read())["exit"] == 0 == done.returncode
