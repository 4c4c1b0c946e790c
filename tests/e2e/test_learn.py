"""What one drop teaches prevents the next; what was learnt and the journal outlive the daemon, and
a damaged file costs nothing else."""
import contextlib
import json
import os
import re
import time
import zlib

import pytest

from faults import FaultProxy
from netns import own_network, run
from util import read_text, wait_for


@pytest.fixture
def behind(bare):
    """A server behind something that may forget."""
    bare.sshd = bare.server()
    bare.proxy = FaultProxy(bare.sshd.port)
    bare.trust(bare.sshd)
    bare.host("h", bare.proxy, HostKeyAlias=f"[127.0.0.1]:{bare.sshd.port}")
    yield bare
    bare.proxy.close()


def held(box):
    return json.loads(box.ctl("list", "--json").text)["items"]


def restart(box):
    """Ends the daemon in order, and starts another."""
    box.ctl("stop")
    wait_for(lambda: box.daemon.poll() is not None, "its end")
    box.start_daemon()


def state(box, name):
    return box.dir / "state/hawser" / name


@contextlib.contextmanager
def nat(seconds):
    """The kernel's own connection tracking, that forgets a quiet TCP connection after so long and
    drops what it does not know."""
    with own_network():
        for name, value in (("tcp_timeout_established", seconds), ("tcp_loose", 0)):
            with open(f"/proc/sys/net/netfilter/nf_conntrack_{name}", "w") as f:
                f.write(str(value))
        run("nft", "add", "table", "inet", "nat")
        run("nft", "add chain inet nat in { type filter hook input priority 0; }")
        run("nft", "add rule inet nat in ct state invalid counter drop")
        yield


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there is no network namespace")
def test_nat_that_forgets(bare):
    """The first drop is told, then keepalives come in time, and there is no second."""
    seconds = int(os.environ.get("HAWSER_NAT_S", "8"))
    with nat(seconds):
        bare.daemon_conf(keepalive=seconds * 3 // 2, keepalive_count=1)
        bare.sshd = bare.server()
        bare.trust(bare.sshd)
        bare.host("h", bare.sshd)
        bare.start_daemon()
        client = bare.popen("h", "echo on; exec sleep 4443")
        assert client.stdout.readline() == b"on\n"
        _, err = client.communicate(timeout=60 + seconds * 10)
        print(err.decode())
        assert client.returncode == 255 and b"quiet" in err, err
        bare.ok("h", "true")
        [one] = held(bare)
        assert one["keepalive_learnt"] and 0 < one["keepalive_s"] < seconds, one
        assert "one every" in bare.ctl("log", "h").text
        client = bare.popen("h", f"sleep {seconds * 3}; echo on")
        assert client.communicate(timeout=60 + seconds * 10)[0] == b"on\n"
        assert [t["id"] for t in held(bare)] == [one["id"]]
        # The next daemon knows it from the start.
        restart(bare)
        bare.ok("h", "true")
        assert held(bare)[0]["keepalive_learnt"]
        bare.ctl("forget", "h")
        bare.ctl("close", "h", "--force")
        wait_for(lambda: not held(bare), "closed")
        bare.ok("h", "true")
        assert not held(bare)[0]["keepalive_learnt"]


def test_an_outage_teaches_nothing(behind):
    """The path was down: not the quiet was to blame."""
    behind.daemon_conf(keepalive=2, keepalive_count=1)
    behind.start_daemon()
    behind.ok("h", "true")
    wait_for(lambda: held(behind)[0]["heard_s"] > 1.6, "quiet")
    behind.proxy.blackhole()
    wait_for(lambda: not held(behind), "its death", 10)
    assert "keepalives every" not in read_text(behind.daemon_log)


@pytest.mark.core
def test_journal_outlives(behind):
    """hawserctl log and why, of what happened under the daemon before."""
    behind.start_daemon()
    behind.ok("h", "true")
    behind.sshd.cut()
    wait_for(lambda: not held(behind), "the end")
    [before, *_] = json.loads(behind.ctl("why", "h", "--json").text)["items"]
    assert re.search("closed|reset", before["text"])
    restart(behind)
    wait_for(lambda: behind.ctl("why", "h").status == 0, "the journal is read")
    [after, *_] = json.loads(behind.ctl("why", "h", "--json").text)["items"]
    assert abs(after.pop("time") - before.pop("time")) < 0.1  # on the disk: to a hundredth
    for item in (before, after):
        del item["seq"]
    assert after == before
    log = behind.ctl("log", "-n", "all").text
    assert "hawserd stopped" in log.replace("0.1.0 ", "") and "started" in log
    assert state(behind, "journal").stat().st_mode & 0o777 == 0o600
    assert state(behind, "").stat().st_mode & 0o777 == 0o700


def test_journal_without_a_daemon(behind):
    """hawserctl log and why, of a hawserd that has gone: another is started, and has read it."""
    behind.start_daemon()
    behind.ok("h", "true")
    behind.sshd.cut()
    wait_for(lambda: not held(behind), "the end")
    for words in ("why", "h"), ("log", "h"), ("why", "--json"):
        behind.ctl("stop")
        wait_for(lambda: not behind.daemon_pid(), "its end")
        done = behind.ctl(*words)
        assert done.status == 0 and re.search("closed|reset", done.text), done
    behind.ctl("stop")


@pytest.mark.parametrize("name", ["journal", "learnt"])
def test_damaged_file(behind, name):
    """Told, set aside, and nothing else is lost."""
    behind.start_daemon()
    behind.ok("h", "true")
    behind.ctl("close", "h", "--force")
    wait_for(lambda: not held(behind), "the end")
    behind.ctl("stop")
    wait_for(lambda: behind.daemon.poll() is not None, "its end")
    path = state(behind, name)
    text = path.read_text() if path.exists() else "hawser learnt 1\n01234567\tme@127.0.0.1:22\n"
    path.write_text(text.replace("127.0.0.1", "127.0.0.9", 1))
    behind.start_daemon()
    wait_for(lambda: "set aside" in read_text(behind.daemon_log), "it is told")
    wait_for(state(behind, name + ".bad").exists, "it is set aside")
    log = behind.ctl("log").text
    assert "damaged" in log
    assert behind.ok("h", "echo on") == "on\n"
    # What could be read is not lost with the next restart either.
    restart(behind)
    again = wait_for(lambda: behind.ctl("log").text, "the journal is read")
    assert all(line in again for line in log.splitlines())
    assert behind.ok("h", "echo on") == "on\n"


def test_damaged_and_stuck(behind):
    """What is damaged, and cannot be set aside, is not written over."""
    folder = state(behind, "learnt.bad")
    folder.mkdir(parents=True)
    (folder / "full").touch()
    state(behind, "learnt").write_text("hawser learnt 1\n01234567\tme@127.0.0.1:22\n")
    behind.start_daemon()
    wait_for(lambda: "cannot set aside" in read_text(behind.daemon_log), "it is told")
    assert "01234567" in state(behind, "learnt").read_text()


def test_file_that_cannot_be_read(behind):
    """Told, set aside; what was learnt is read all the same, and outlives the next save."""
    behind.start_daemon()
    behind.ok("h", "true")
    behind.ctl("stop")
    wait_for(lambda: behind.daemon.poll() is not None, "its end")
    journal, learnt = state(behind, "journal"), state(behind, "learnt")
    journal.unlink()
    journal.mkdir()
    fields = ["me@elsewhere:22", "", "0.0", "30.0", "1", str(int(time.time())), "0", "0", "0",
              "0.0", "1"]
    line = "".join(f"\t{field}" for field in fields)
    learnt.write_text(f"hawser learnt 1\n{zlib.crc32(line.encode()):08x}{line}\n")
    behind.start_daemon()
    wait_for(lambda: "set aside as .bad" in read_text(behind.daemon_log), "it is told")
    assert state(behind, "journal.bad").is_dir()
    behind.ok("h", "true")
    behind.ctl("stop")
    wait_for(lambda: behind.daemon.poll() is not None, "its end")
    assert "me@elsewhere:22" in learnt.read_text() and "stopped" in journal.read_text()


@pytest.mark.core
def test_torn_line(behind):
    """A last line that was not written whole is no damage."""
    behind.start_daemon()
    behind.ok("h", "true")
    behind.ctl("stop")
    wait_for(lambda: behind.daemon.poll() is not None, "its end")
    path = state(behind, "journal")
    path.write_text(path.read_text()[:-20])
    behind.start_daemon()
    wait_for(lambda: behind.ctl("log").text.count("started") == 2, "the journal is read")
    # Nor does it take the next line with it.
    restart(behind)
    wait_for(lambda: behind.ctl("log").text.count("started") == 3, "the journal is read")
    assert "damaged" not in read_text(behind.daemon_log)


def test_no_place_to_write(behind):
    """Told once; all else works."""
    (behind.dir / "state/hawser").write_text("not a directory")
    behind.start_daemon()
    assert behind.ok("h", "echo on") == "on\n"
    wait_for(lambda: "in memory only" in read_text(behind.daemon_log), "it is told")
    behind.ok("h", "true")
    behind.ctl("stop")
    wait_for(lambda: behind.daemon.poll() is not None, "its end")
    assert read_text(behind.daemon_log).count("in memory only") == 1


def test_home_that_is_not_there(behind):
    """No home directory is made."""
    env = dict(behind.env, HOME=str(behind.dir / "nobody"))
    del env["XDG_STATE_HOME"]
    behind.start_daemon(env=env)
    behind.ok("h", "true")
    wait_for(lambda: "in memory only" in read_text(behind.daemon_log), "it is told")
    assert not (behind.dir / "nobody").exists()
