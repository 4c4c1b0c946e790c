"""LocalCommand: on this side, by this user's shell, before the session begins."""
import os
import pwd
import signal
import socket
import subprocess

import pexpect
import pytest

import wire
from forwarding import Server, echo
from util import alive, free_port, read_text, wait_for

ALLOWED = "-oPermitLocalCommand=yes"


def local(command):
    return [ALLOWED, f"-oLocalCommand={command}"]


@pytest.mark.core
@pytest.mark.oracle
def test_runs_before_the_session(warm):
    """Its output is the client's, and comes first; how it ends means nothing."""
    result = warm.run(*local("echo local; echo bad >&2; exit 3"), "h", "echo remote; exit 4")
    assert (result.status, result.text, result.err) == (4, "local\nremote\n", "bad\n")


@pytest.mark.oracle
def test_every_call_runs_it(warm):
    """Also where the connection is held."""
    for _ in range(3):
        assert warm.ok(*local("echo local"), "h", "true") == "local\n"


@pytest.mark.oracle
def test_not_without_permission(warm):
    """PermitLocalCommand is no by default."""
    assert warm.ok("-oLocalCommand=echo local", "h", "echo remote") == "remote\n"


@pytest.mark.oracle
def test_tokens(warm):
    """As ssh_config(5) has them."""
    me = pwd.getpwuid(os.getuid())
    command = "echo %d %h %n %p %r %u %%"
    expected = f"{me.pw_dir} 127.0.0.1 h {warm.sshd.port} {warm.account.name} {me.pw_name} %\n"
    assert warm.ok(*local(command), "h", "true", env={"HOME": "/nowhere"}) == expected


@pytest.mark.oracle
def test_callers_world(warm):
    """Environment, directory, shell, stdin and umask of the caller."""
    where = warm.dir / "tmp"
    command = "echo $HW_MINE; pwd; umask; read line; echo got $line"
    result = warm.run(*local(command), "h", "cat", env={"HW_MINE": "mine"}, cwd=where,
                      input=b"for local\n", preexec_fn=lambda: os.umask(0o27))
    assert result.text.splitlines()[:4] == ["mine", str(where), "0027", "got for local"]


@pytest.mark.oracle
def test_users_shell(warm):
    """$SHELL runs it."""
    shell = warm.dir / "shell"
    shell.write_text('#!/bin/sh\necho "shell: $1 $2"\n')
    shell.chmod(0o755)
    assert warm.ok(*local("some words"), "h", "true", env={"SHELL": shell}) == \
        "shell: -c some words\n"


@pytest.mark.oracle
def test_with_a_terminal(warm):
    """The terminal is not raw yet; what is typed is for the command."""
    term = warm.spawn(*local("read line; echo got $line"), "-t", "h", "echo remote; cat")
    term.sendline("typed")
    term.expect_exact("typed\r\n")
    term.expect_exact("got typed\r\n")
    term.expect_exact("remote\r\n")


@pytest.mark.oracle
def test_without_a_session(warm):
    """-N has one too."""
    done = warm.dir / "done"
    proc = warm.popen("-N", *local(f"echo x >{done}"), "h")
    wait_for(lambda: read_text(done) == "x\n", "the local command")
    proc.terminate()
    proc.wait(20)


@pytest.mark.oracle
def test_in_the_background(warm):
    """-f: before it goes there."""
    result = warm.run("-f", *local("echo local"), "h", "true")
    assert (result.status, result.text) == (0, "local\n")


@pytest.mark.oracle
def test_interrupt(warm):
    """^C ends command and client; nothing has run at the other side."""
    ran = warm.account.home / "ran-after-interrupt"
    term = warm.spawn(*local("echo up; exec sleep 100"), "h", f"touch {ran}")
    term.expect_exact("up\r\n")
    term.send("\x03")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.signalstatus == signal.SIGINT or term.exitstatus == 255
    assert not ran.exists()


def test_daemon_ends_meanwhile(warm):
    """The client says so, and waits for nothing."""
    up = warm.dir / "up"
    proc = warm.popen(*local(f"echo $$ >{up}; exec sleep 100"), "h", "true")
    wait_for(lambda: read_text(up), "the local command")
    warm.daemon.kill()
    warm.judge_exit = False
    assert proc.wait(20) == 255
    os.kill(int(read_text(up)), signal.SIGTERM)  # it has our stderr too
    assert b"hawserd ended" in proc.stderr.read()


def test_others_go_on_meanwhile(warm):
    """A long one holds up nobody: not the connection, not other calls."""
    up = warm.dir / "up"
    proc = warm.popen(*local(f"echo $$ >{up}; exec sleep 100"), "h", "echo remote")
    wait_for(lambda: read_text(up), "the local command")
    assert warm.ok("h", "echo other") == "other\n"
    os.kill(int(read_text(up)), signal.SIGTERM)
    assert proc.wait(20) == 0 and proc.stdout.read() == b"remote\n"
    assert warm.sshd.logins() == 1


def test_connection_lost_meanwhile(warm):
    """The session is made on another one; the command is not run twice."""
    up = warm.dir / "up"
    command = f"echo $$ >>{up}; until test -e {up}.go; do sleep .02; done"
    proc = warm.popen(*local(command), "h", "echo remote", stdin=subprocess.DEVNULL)
    wait_for(lambda: read_text(up), "the local command")
    warm.sshd.cut()
    wait_for(lambda: "ended" in read_text(warm.daemon_log) or "closed" in
             read_text(warm.daemon_log), "the connection's end")
    (warm.dir / "up.go").touch()
    assert proc.wait(20) == 0 and proc.stdout.read() == b"remote\n"
    assert len(read_text(up).split()) == 1
    assert not [p for p in read_text(up).split() if alive(int(p))]


def test_forward_after_a_connection_lost_meanwhile(warm):
    """The forwards of the one that was lost are made on the new one, too."""
    up, port = warm.dir / "up", free_port()
    with Server(echo) as far:
        proc = warm.popen(*local(f"echo $$ >>{up}; until test -e {up}.go; do sleep .02; done"),
                          "-L", f"127.0.0.1:{port}:127.0.0.1:{far.port}", "h", "echo up; cat",
                          stdin=subprocess.PIPE)
        wait_for(lambda: read_text(up), "the local command")
        warm.sshd.cut()
        wait_for(lambda: "ended" in read_text(warm.daemon_log), "the connection's end")
        (warm.dir / "up.go").touch()
        assert proc.stdout.readline() == b"up\n"
        with socket.create_connection(("127.0.0.1", port), timeout=20) as c:
            c.sendall(b"through")
            assert c.recv(100) == b"through"
        proc.stdin.close()
        assert proc.wait(20) == 0 and len(read_text(up).split()) == 1


def test_client_that_cannot_run_it(warm):
    """One of an older version: ssh does it all, nothing is left out."""
    with wire.connect(warm.socket) as w:
        w.send_request([*warm.command()[1:], *local("true")], "h", "true", env=warm.env)
        (_, _, body), _ = w.recv_until(wire.FALLBACK)
    assert "LocalCommand" in body["why"]
