"""-f: the caller goes on, the rest goes on without him."""
import os
import signal
import time

import pexpect
import pytest

from util import alive, fd_targets, holds_for, read_text, stat_fields, wait_for


def files(box):
    return box.dir / "out", box.dir / "err"


def run_to_files(box, *args, **popen):
    """Runs hawser with stdout and stderr in files; returns its status."""
    out, err = files(box)
    with open(out, "wb") as o, open(err, "wb") as e:
        return box.run(*args, stdout=o, stderr=e, **popen).status


def master_pid(box, path):
    """The pid of the master at a ControlPath."""
    said = box.run("-S", path, "-O", "check", "h").err
    return int(said.partition("pid=")[2].partition(")")[0])


def go_when(box):
    """A remote command's way to wait for us, and ours to let it go on."""
    flag = box.account.home / f"go-{box.dir.name}"
    flag.unlink(missing_ok=True)
    return f"until test -e {flag}; do sleep .02; done", flag


@pytest.mark.core
@pytest.mark.oracle
def test_returns_while_the_command_runs(warm):
    """Status 0 at once; stdout and stderr of the command, files here, stay the caller's."""
    wait, flag = go_when(warm)
    assert run_to_files(warm, "-f", "h", f"{wait}; echo late; echo bad >&2; exit 3") == 0
    out, err = files(warm)
    assert read_text(out) == ""
    flag.touch()
    wait_for(lambda: read_text(out) == "late\n" and read_text(err) == "bad\n", "the late output")


@pytest.mark.oracle
def test_streams_that_are_handed_over(warm):
    """Pipes: the reader has all output, and its end when the command has ended, not before."""
    wait, flag = go_when(warm)
    read, write = os.pipe()
    assert warm.run("-f", "h", f"echo early; {wait}; echo late", stdout=write,
                    stderr=write).status == 0
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.readline() == b"early\n"
        flag.touch()
        assert pipe.read() == b"late\n"


@pytest.mark.oracle
def test_stdin_is_not_read(warm):
    """As with -n: what is on stdin is left for others, the command sees its end."""
    assert warm.run("-f", "h", "cat", input=b"for others\n").out == b""


@pytest.mark.parametrize("words", [["-f", "h"], ["-oForkAfterAuthentication=yes", "h"]])
@pytest.mark.oracle
def test_needs_a_command(warm, words):
    """ssh's words and status, and no shell."""
    result = warm.run(*words)
    assert result.status == 255 and result.out == b""
    assert result.err.strip() == "Cannot fork into background without a command to execute."


@pytest.mark.oracle
def test_by_keyword(warm):
    """ForkAfterAuthentication yes is -f; RemoteCommand is command enough."""
    wait, flag = go_when(warm)
    command = f"echo early; cat; {wait}; echo late"
    warm.host("h", warm.sshd, ForkAfterAuthentication="yes", RemoteCommand=command)
    read, write = os.pipe()
    assert warm.run("h", stdout=write, stderr=write).status == 0
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.readline() == b"early\n"
        flag.touch()
        assert pipe.read() == b"late\n"


@pytest.mark.oracle
def test_without_a_session(warm):
    """-f -N: nothing of the caller's is kept open, so $(hawser -fN ...) returns; a session of its
    own, stdin, stdout and stderr /dev/null, the same directory."""
    path = warm.dir / "cs"
    result = warm.run("-f", "-N", "-M", "-S", path, "h")
    assert (result.status, result.out, result.err) == (0, b"", "")
    pid = master_pid(warm, path)
    assert int(stat_fields(pid)[3]) == pid
    targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
    assert targets == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{pid}/cwd") == os.getcwd()
    assert warm.run("-S", path, "-O", "exit", "h").status == 0
    wait_for(lambda: not alive(pid), "the end of the process in the background")


def test_outlives_its_terminal(warm):
    """Started on a terminal that goes away with us, its session's leader (ssh may die of that)."""
    path = warm.dir / "cs"
    term = warm.spawn("-f", "-N", "-M", "-S", path, "h")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 0
    term.close()
    pid = master_pid(warm, path)
    holds_for(lambda: alive(pid), 0.3, "it died with its terminal")
    warm.run("-S", path, "-O", "exit", "h")
    wait_for(lambda: not alive(pid), "the end of the process in the background")


@pytest.mark.oracle
def test_failure_is_told_before(box):
    """255 and the reason, as long as the caller is there to hear it."""
    box.host("gone", box.sshd, Port=1)
    result = box.run("-f", "gone", "true")
    assert result.status == 255 and "refused" in result.err


@pytest.mark.oracle
def test_asks_before_it_goes(bare):
    """A password is asked for on the caller's terminal, then the terminal is left alone."""
    password = bare.account.set_password()
    bare.sshd = bare.server(PasswordAuthentication="yes", AuthorizedKeysFile="none")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd, PreferredAuthentications="password")
    bare.start_daemon()
    path = bare.dir / "cs"
    term = bare.spawn("-f", "-N", "-M", "-S", path, "h")
    term.expect("assword:")
    term.sendline(password)
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 0
    bare.run("-S", path, "-O", "exit", "h")


@pytest.mark.oracle
def test_ends_with_the_command(warm):
    """What runs in the background is gone when its command is."""
    wait, flag = go_when(warm)
    path = warm.dir / "cs"
    assert run_to_files(warm, "-f", "-M", "-S", path, "h", wait) == 0
    pid = master_pid(warm, path)
    assert alive(pid)
    flag.touch()
    wait_for(lambda: not alive(pid), "the end of the process in the background")
    assert not path.exists()


@pytest.mark.oracle
def test_signal_in_the_background(warm):
    """kill PID ends the process in the background and its command."""
    wait, _ = go_when(warm)
    path = warm.dir / "cs"
    assert run_to_files(warm, "-f", "-M", "-S", path, "h", wait) == 0
    pid = master_pid(warm, path)
    assert fd_targets(pid)
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not alive(pid), "the end of the process in the background")
    assert time.monotonic() - started < 10
