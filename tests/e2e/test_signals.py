"""Signals sent to the client, without a terminal, reach the remote command (RFC 4254, 6.9).

The account is not root: before OpenSSH 10 sshd passes signals on only where it has given up its
privileges. With HAWSER=/usr/bin/ssh these do not hold: ssh passes no signals."""
import signal

import pytest

from util import alive, holds_for, kill, read_text, wait_for

NAMES = ["INT", "TERM", "HUP"]


def trapped(box, name):
    """A remote command that writes down when the signal comes; returns once its trap is set."""
    mark = box.account.home / f"caught-{name}"
    mark.unlink(missing_ok=True)
    proc = box.popen("h", f"trap 'echo caught >{mark}; exit 3' {name}; echo armed; "
                     "while :; do sleep 0.05; done")
    assert proc.stdout.readline() == b"armed\n"
    return proc, mark


@pytest.mark.core
@pytest.mark.parametrize("name", NAMES)
def test_signal_reaches_the_remote_command(warm, name):
    """SIGINT, SIGTERM and SIGHUP arrive as themselves."""
    proc, mark = trapped(warm, name)
    kill(proc.pid, getattr(signal, "SIG" + name))
    wait_for(lambda: read_text(mark) == "caught\n", f"the remote trap of {name}")
    proc.wait(20)


@pytest.mark.parametrize("name", NAMES)
def test_client_ends_as_ssh_would(warm, name):
    """A client that is told to end does so with failure, and soon, whatever the remote does."""
    proc = warm.popen("h", f"trap '' INT TERM HUP; echo armed; exec sleep 7654{NAMES.index(name)}")
    assert proc.stdout.readline() == b"armed\n"
    kill(proc.pid, getattr(signal, "SIG" + name))
    assert proc.wait(20) != 0


def test_remote_command_without_trap_dies(warm):
    """The default action ends the remote command; nothing is left behind."""
    proc = warm.popen("h", "echo armed; exec sleep 76543")
    assert proc.stdout.readline() == b"armed\n"
    remote = wait_for(lambda: warm.sshd.remote_processes("76543"), "the remote command")
    kill(proc.pid, signal.SIGTERM)
    assert proc.wait(20) != 0
    wait_for(lambda: not any(alive(p) for p in remote), "the remote command's end")


def test_other_sessions_are_not_signalled(warm):
    """Only the command of that client gets the signal."""
    bystander = warm.popen("h", "echo armed; exec sleep 76542")
    assert bystander.stdout.readline() == b"armed\n"
    proc, _ = trapped(warm, "TERM")
    kill(proc.pid, signal.SIGTERM)
    proc.wait(20)
    holds_for(lambda: bystander.poll() is None, 0.2, "the bystander's session ended too")
    assert warm.sshd.remote_processes("76542")


def test_signal_while_connecting(cold):
    """A client that waits for a login ends at once, and the daemon stays well."""
    cold.sshd.stop()
    stuck = cold.server(LoginGraceTime=0)
    for pid in [stuck.proc.pid]:
        kill(pid, signal.SIGSTOP)  # the kernel accepts, nobody answers
    cold.host("stuck", stuck)
    cold.start_daemon()
    try:
        proc = cold.popen("stuck", "true")
        wait_for(lambda: cold.ctl("list").out, "the daemon knows of the request")
        kill(proc.pid, signal.SIGTERM)
        assert proc.wait(20) != 0
    finally:
        kill(stuck.proc.pid, signal.SIGCONT)


def test_kill_of_the_client_ends_the_remote_command(warm):
    """kill -9 of the client: its channel is closed, the remote command gets SIGHUP or SIGPIPE."""
    proc = warm.popen("h", "while echo tick-76541; do sleep 0.1; done")
    assert proc.stdout.readline()
    kill(proc.pid)
    wait_for(lambda: not warm.sshd.remote_processes("tick-76541"), "the remote loop's end")
