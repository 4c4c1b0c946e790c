"""hawserctl log and why: what happened, and why it ended."""
import json
import re
import socket
import threading

import pytest

from util import wait_for


def asked(box, *args):
    """The items of a --json answer."""
    result = box.ctl(*args, "--json")
    assert result.status == 0, result
    reply = json.loads(result.text)
    assert reply["ok"]
    return reply["items"]


@pytest.fixture
def cut(warm):
    """A request whose connection the server's side has cut."""
    proc = warm.popen("h", "echo begun; exec sleep 4441")
    assert proc.stdout.readline() == b"begun\n"
    warm.sshd.cut()
    warm.said = proc.communicate(timeout=60)[1].decode()
    assert proc.returncode == 255
    return warm


@pytest.mark.core
def test_log(warm):
    """A connection, its uses and their ends: a line each, oldest first."""
    assert warm.run("h", "exit 3").status == 3
    lines = wait_for(lambda: [t for t in [warm.ctl("log", "h").text] if "status 3" in t],
                     "the end of the request")[0].splitlines()
    kinds = [entry["kind"] for entry in asked(warm, "log", "h")]
    assert len(kinds) == len(lines) and "opened" in kinds
    assert kinds.index("opened") < kinds.index("request") < kinds.index("request-end")
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  h  \S", line), line
    assert any("a command" in line and "used by" in line for line in lines)


def test_log_newest(warm):
    """-n: so many of the newest; a host that nobody knows: nothing, and status 0."""
    for _ in range(3):
        warm.ok("h", "true")
    everything = wait_for(
        lambda: [e for e in [asked(warm, "log", "-n", "all")]
                 if [x["kind"] for x in e].count("request-end") >= 3], "the ends")[0]
    assert [e["seq"] for e in everything] == sorted(e["seq"] for e in everything)
    assert asked(warm, "log", "-n2") == everything[-2:]
    assert asked(warm, "log", "nosuch") == []
    result = warm.ctl("log", "nosuch")
    assert result.status == 0 and result.out == b"" and "nosuch" in result.err
    for wrong in (("-n", "x"), ("-n", "0"), ("-n",), ("-n", "-1")):
        assert warm.ctl("log", *wrong).status == 2


@pytest.mark.core
def test_why_a_connection_was_cut(cut):
    """The sentence that the user has read, the next step, the evidence and what went before."""
    end, *timeline = asked(cut, "why", "h")
    assert end["role"] == "end" and end["kind"] == "ended" and end["class"] != "none"
    assert end["text"] and end["hint"] and end["evidence"]
    kinds = [entry["kind"] for entry in timeline]
    assert kinds[0] == "opened" and "request" in kinds and "ended" in kinds
    text = cut.ctl("why", "h").text
    assert " ago\n" in text and end["text"] in text and "Next step: " + end["hint"] in text
    for line in end["evidence"].splitlines():
        assert f"  {line}\n" in text
    # Without a host: the last one at all.
    assert asked(cut, "why")[0]["seq"] == end["seq"]


def test_why_no_connection(bare):
    """One that did not come about."""
    sshd = bare.server()
    bare.trust(sshd)
    bare.host("h", sshd)
    sshd.stop()
    bare.start_daemon()
    assert bare.run("h", "true").status == 255
    end = asked(bare, "why", "h")[0]
    assert end["kind"] == "failed" and end["class"] == "refused"
    assert "did not come about" in bare.ctl("why", "h").text


def test_requests_that_did_not_begin(warm):
    """Refused by ssh -G, or by a lock: in the log, while why tells of what ended before."""
    warm.sshd.cut()
    wait_for(lambda: re.search("closed|reset", warm.ctl("why", "h").text), "the end")

    def told():
        return re.sub(r", \S+ ago", "", warm.ctl("why", "h").text.splitlines()[0])

    before = told()
    assert warm.run("-o", "NoSuchOption=1", "h", "true").status == 255
    warm.ctl("lock")
    assert warm.run("h", "true").status == 255
    warm.ctl("unlock")
    log = warm.ctl("log", "h").text
    assert re.search(r"use by .*pid \d+.* ended.*not begun: .*nosuchoption", log)
    assert re.search(r"use by pid \d+ ended.*not begun: .*lock", log)
    assert told() == before


def test_why_not_the_idle_end(bare):
    """A connection that was held long enough hides no trouble from before."""
    bare.daemon_conf(hold=1)
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    client = bare.popen("h", "echo on; exec sleep 60")
    client.stdout.readline()
    bare.sshd.cut()
    assert client.wait(20) == 255
    bare.ok("h", "true")
    wait_for(lambda: asked(bare, "log", "h")[-1]["class"] == "idle", "the end of what is idle")
    assert asked(bare, "why", "h")[0]["class"] == "server-closed"


def test_why_of_the_daemon_that_runs(bare):
    """The numbers of connections begin anew with each daemon; that of before is another one."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    for _ in range(2):
        bare.start_daemon()
        client = bare.popen("h", "echo on; exec sleep 60")
        client.stdout.readline()
        bare.sshd.cut()
        assert client.wait(20) == 255
        bare.ctl("stop")
        wait_for(lambda: bare.daemon.poll() is not None, "its end")
    bare.start_daemon()
    assert bare.run("-s", "h", "nosuch").status != 0
    assert asked(bare, "why", "h")[0]["class"] == "channel"


def test_why_nothing(warm):
    """Nothing known: status 1, and a sentence that names the host."""
    result = warm.ctl("why", "nosuch")
    assert result.status == 1 and result.out == b"" and "nosuch" in result.err
    reply = json.loads(warm.ctl("why", "nosuch", "--json").text)
    assert not reply["ok"] and "nosuch" in reply["error"]


def test_hostile_version(bare):
    """-vv prints the words of a server as ssh does: nothing in them steers the terminal."""
    bare.sshd = bare.server(VersionAddendum="\x1b]0;owned\x07x")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    result = bare.run("-vv", "h", "true")
    assert result.status == 0 and "\x1b" not in result.err and "\x07" not in result.err
    assert "remote software version" in result.err and "\\033]0;owned\\007x" in result.err


def test_hostile_words(bare):
    """What a server says cannot steer the terminal of who reads it later."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer = server.accept()[0]
        peer.sendall(b"HTTP/1.1 400 \x1b]0;owned\x07\x1b[2J \xc2\x9b31m\r\n\r\n")
        peer.recv(100)
        peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    bare.host("h", type("At", (), {"port": server.getsockname()[1]}))
    bare.start_daemon()
    assert bare.run("h", "true", timeout=30).status == 255
    for verb in ("why", "log"):
        result = bare.ctl(verb, "h")
        assert result.status == 0, result
        for bad in (b"\x1b", b"\x07", b"\xc2\x9b", b"\r"):
            assert bad not in result.out, result
    assert asked(bare, "why", "h")[0]["class"] == "not-ssh"
    server.close()
    thread.join(10)
