"""-M -S path: a socket that answers as a master of OpenSSH's does, and who shares it."""
import contextlib
import os
import resource
import signal
import socket
import stat
import struct
import subprocess

import pytest

from util import alive, holds_for, read_text, wait_for

SSH = "/usr/bin/ssh"


@pytest.fixture
def cs(warm):
    """A path for the control socket."""
    return warm.dir / "cs"


def master(box, cs, *args, how=("-N",)):
    """hawser -N -M -S cs h, listening."""
    proc = box.popen(*how, "-M", "-S", cs, *args, "h") if how else box.popen("-M", "-S", cs, *args)
    wait_for(lambda: cs.exists() or proc.poll() is not None, "the control socket")
    assert proc.poll() is None, proc.stderr.read()
    return proc


def operate(box, cs, operation):
    result = box.run("-S", cs, "-O", operation, "h")
    return result.status, result.err.replace("\r", "")


def ssh(box, *args):
    """The same configuration, OpenSSH's client."""
    done = subprocess.run([SSH, "-F", str(box.config), *map(str, args)], env=box.environment({}),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.replace("\r", "")


def session(box, cs, command="echo up; cat"):
    """A session that shares the master, and runs."""
    proc = box.popen("-S", cs, "h", command, stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"up\n"
    return proc


# ---- also ssh's way ----------------------------------------------------------------------------
@pytest.mark.core
@pytest.mark.oracle
def test_check_and_exit(warm, cs):
    """-O check names the pid, -O exit ends the master, which takes its socket along."""
    proc = master(warm, cs)
    mode = os.lstat(cs).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert operate(warm, cs, "check") == (0, f"Master running (pid={proc.pid})\n")
    assert operate(warm, cs, "exit") == (0, "Exit request sent.\n")
    assert proc.wait(20) == 255
    wait_for(lambda: not cs.exists(), "the socket's end")
    assert not list(warm.dir.glob("cs.*"))


@pytest.mark.core
@pytest.mark.oracle
def test_stop_waits_for_the_last_session(warm, cs):
    """-O stop: nobody new is let in, those who share it end first."""
    proc = master(warm, cs)
    one, two = session(warm, cs), session(warm, cs)
    assert operate(warm, cs, "stop") == (0, "Stop listening request sent.\n")
    assert not cs.exists()
    one.stdin.close()
    assert one.wait(20) == 0
    holds_for(lambda: proc.poll() is None, 0.2, "the master left before its last session")
    two.stdin.close()
    assert two.wait(20) == 0
    assert proc.wait(20) == 255


@pytest.mark.oracle
def test_stop_without_sessions(warm, cs):
    """Then it ends at once."""
    proc = master(warm, cs)
    assert operate(warm, cs, "stop")[0] == 0
    assert proc.wait(20) == 255


@pytest.mark.oracle
def test_exit_ends_the_sessions_too(warm, cs):
    """As their connection would be gone with ssh."""
    proc = master(warm, cs)
    sessions = [session(warm, cs) for _ in range(3)]
    assert operate(warm, cs, "exit")[0] == 0
    assert proc.wait(20) == 255
    assert [p.wait(20) for p in sessions] == [255] * 3


@pytest.mark.oracle
def test_master_with_a_command_stays_for_others(warm, cs):
    """Its own command has ended, its status is kept until the sessions have ended."""
    proc = warm.popen("-M", "-S", cs, "h", "read x; exit 7", stdin=subprocess.PIPE)
    wait_for(cs.exists, "the control socket")
    one = session(warm, cs)
    proc.stdin.close()
    holds_for(lambda: proc.poll() is None, 0.3, "the master left before its last session")
    one.stdin.close()
    assert one.wait(20) == 0 and proc.wait(20) == 7
    assert not cs.exists()


@pytest.mark.oracle
def test_path_that_is_taken(warm, cs):
    """The second master says so and goes on without; the first one stays."""
    first = master(warm, cs)
    second = warm.run("-M", "-S", cs, "h", "echo done")
    assert (second.status, second.text) == (0, "done\n")
    assert second.err.strip() == f"ControlSocket {cs} already exists, disabling multiplexing"
    assert operate(warm, cs, "check")[1] == f"Master running (pid={first.pid})\n"


@pytest.mark.oracle
def test_file_in_the_way(warm, cs):
    """No socket at all: the same, and the file is left alone."""
    cs.write_text("mine")
    result = warm.run("-M", "-S", cs, "h", "echo done")
    assert (result.status, result.text) == (0, "done\n")
    assert "already exists, disabling multiplexing" in result.err
    assert read_text(cs) == "mine"


@pytest.mark.oracle
def test_path_that_cannot_be(warm):
    """ssh's words, 255, and the command is not run."""
    ran = warm.account.home / "ran"
    for path, words in (("/" + "x" * 120, "too long for Unix domain socket"),
                        (warm.dir / "none/cs", "unix_listener: cannot bind to path")):
        result = warm.run("-M", "-S", path, "h", f"touch {ran}")
        assert result.status == 255 and words in result.err, result
        assert not ran.exists()


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["INT", "HUP", "TERM", "KILL"])
def test_ended_by_a_signal(warm, cs, name):
    """The sessions end with it; the socket goes, but for SIGKILL, after which it is a dead file
    that nobody minds."""
    proc = master(warm, cs)
    one = session(warm, cs)
    proc.send_signal(getattr(signal, "SIG" + name))
    proc.wait(20)
    assert one.wait(20) == 255
    assert cs.exists() == (name == "KILL")
    assert warm.ok("-S", cs, "h", "echo own") == "own\n"


@pytest.mark.oracle
def test_wrong_operation(warm, cs):
    """ssh's words for what is none, whether or not there is a master."""
    for words in (["-O", "nonsense"], ["-S", cs, "-O", "nonsense"]):
        result = warm.run(*words, "h")
        assert result.status == 255 and result.err.strip() == "Invalid multiplex command."


@pytest.mark.oracle
def test_nobody_at_the_path(warm, cs):
    """-S: whether that master lives is asked, not whether a transport is held."""
    for operation in ("check", "exit", "stop", "forward"):
        result = warm.run("-S", cs, "-O", operation, "h")
        assert result.status == 255
        assert result.err.strip() == f"Control socket connect({cs}): No such file or directory"
    assert warm.ok("h", "true") == ""


@pytest.mark.oracle
def test_none_is_no_path(warm):
    """-S none: no socket called none."""
    assert warm.ok("-S", "none", "h", "echo x", cwd=warm.dir) == "x\n"
    assert not (warm.dir / "none").exists()


# ---- ours --------------------------------------------------------------------------------------
@pytest.mark.oracle
def test_status_after_a_signal(warm, cs):
    """Of a -N client: at once; SIGTERM is the order to end that it is, as for ssh."""
    for name, status in (("INT", 255), ("TERM", 0), ("HUP", 255)):
        proc = master(warm, cs)
        proc.send_signal(getattr(signal, "SIG" + name))
        assert proc.wait(20) == status
        assert not cs.exists()


def test_one_login(warm, cs):
    """Master and sessions are on the transport that is held."""
    master(warm, cs)
    for i in range(3):
        assert warm.ok("-S", cs, "h", f"echo {i}") == f"{i}\n"
    assert warm.sshd.logins() == 1


def test_path_appears_after_the_login(box):
    """Who waits for the path finds a master whose login is done; a failed one leaves nothing."""
    cs = box.dir / "cs"
    box.host("gone", box.sshd, Port=1)
    assert box.run("-N", "-M", "-S", cs, "gone").status == 255
    assert not list(box.dir.glob("cs*"))
    master(box, cs)
    assert box.sshd.logins() == 1


def test_stock_ssh(warm, cs):
    """ssh understands the socket; for a session it makes a connection of its own."""
    proc = master(warm, cs)
    assert ssh(warm, "-S", cs, "-O", "check", "h") == (0, "", f"Master running (pid={proc.pid})\n")
    status, out, err = ssh(warm, "-S", cs, "h", "echo own; exit 4")
    assert (status, out) == (4, "own\n") and "refused session request" in err
    assert ssh(warm, "-S", cs, "-O", "forward", "-L", "1:h:2", "h")[0] == 255
    assert ssh(warm, "-S", cs, "-W", "127.0.0.1:1", "h")[0] == 255
    assert proc.poll() is None
    assert ssh(warm, "-S", cs, "-O", "stop", "h")[0] == 0
    assert proc.wait(20) == 255
    proc = master(warm, cs)
    assert ssh(warm, "-S", cs, "-O", "exit", "h")[0] == 0
    assert proc.wait(20) == 255


def test_master_of_openssh(warm, cs):
    """Somebody's live master: the call is ssh's, sessions and operations."""
    proc = subprocess.Popen([SSH, "-F", str(warm.config), "-N", "-M", "-S", str(cs), "h"],
                            env=warm.environment({}), stdin=subprocess.DEVNULL)
    warm.clients.append(proc)
    wait_for(cs.exists, "ssh's control socket")
    logins, allowed = warm.sshd.logins(), {"HAWSER_FALLBACK": None}
    assert warm.ok("-S", cs, "h", "echo via", env=allowed) == "via\n"
    result = warm.run("-S", cs, "-O", "check", "h", env=allowed)
    assert result.err.strip() == f"Master running (pid={proc.pid})"
    result = warm.run("-S", cs, "h", "echo via")
    assert result.status == 255 and "ControlPath" in result.err
    assert warm.sshd.logins() == logins
    proc.terminate()
    proc.wait(20)


def test_only_its_own_socket_is_removed(warm, cs):
    """What took the path's place meanwhile stays."""
    proc = master(warm, cs)
    cs.unlink()
    cs.write_text("new")
    proc.terminate()
    proc.wait(20)
    assert read_text(cs) == "new"


def test_with_tokens_and_master_is_for_ssh(warm):
    """ssh expands the path; we do not try to."""
    for path in ("~/x", "/tmp/%C"):
        result = warm.run("-M", "-S", path, "h", "true")
        assert result.status == 255 and "option -M" in result.err


def hello(cs):
    """A peer of the socket that has said HELLO."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)

    def connected():
        try:
            s.connect(str(cs))
        except BlockingIOError:
            return False
        return True
    wait_for(connected, "a place in the backlog")
    s.sendall(struct.pack(">III", 8, 1, 4))
    return s


@pytest.mark.parametrize("data", [
    b"\0\0\0\3abc", b"\xff\xff\xff\xff" * 10, struct.pack(">III", 8, 1, 5),
    struct.pack(">III", 8, 0x10000004, 1), struct.pack(">III", 8, 1, 4) * 2, b"GET / HTTP/1.0\r\n",
], ids=["short", "long", "version", "no hello", "two hellos", "http"])
def test_peers_that_make_no_sense(warm, cs, data):
    """They are hung up on, and nobody else notices."""
    proc = master(warm, cs)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect(str(cs))
    s.sendall(data)
    left = b""
    try:
        while part := s.recv(4096):
            left += part
    except ConnectionResetError:
        pass
    assert left.startswith(struct.pack(">I", 0)[:1])  # a HELLO, no more
    assert operate(warm, cs, "check") == (0, f"Master running (pid={proc.pid})\n")


def test_peers_that_only_write(warm, cs):
    """A megabyte behind a refused request is swallowed; answers that nobody reads end the peer."""
    proc = master(warm, cs)
    deaf = hello(cs)
    deaf.sendall(struct.pack(">III", 8, 0x10000002, 7) + b"x" * (1 << 20))
    greedy = hello(cs)
    with pytest.raises(OSError):
        while True:
            greedy.sendall(struct.pack(">III", 8, 0x10000004, 1) * 1000)
    assert operate(warm, cs, "check") == (0, f"Master running (pid={proc.pid})\n")
    assert alive(proc.pid)


def test_more_peers_than_it_takes(warm, cs):
    """Beyond the limit they wait; when some have gone, the next are served."""
    proc = master(warm, cs)
    peers = [hello(cs) for _ in range(280)]
    fds = f"/proc/{proc.pid}/fd"
    wait_for(lambda: len(os.listdir(fds)) > 250, "its peers")
    assert len(os.listdir(fds)) < 275
    for s in peers:
        s.close()
    assert operate(warm, cs, "check") == (0, f"Master running (pid={proc.pid})\n")


def test_more_peers_than_descriptors(warm, cs):
    """Those for whom there is none are hung up on, not left to be asked about for ever."""
    proc = master(warm, cs)
    resource.prlimit(proc.pid, resource.RLIMIT_NOFILE, (20, 20))
    peers = [hello(cs) for _ in range(30)]
    for s in peers[20:]:
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""
    for s in peers:
        s.close()
    assert operate(warm, cs, "check") == (0, f"Master running (pid={proc.pid})\n")


def test_operations_do_not_count_as_sessions(warm, cs):
    """A check that is under way does not keep a stopped master."""
    proc = master(warm, cs)
    held = hello(cs)
    assert operate(warm, cs, "check")[0] == 0
    assert operate(warm, cs, "stop")[0] == 0
    assert proc.wait(20) == 255
    held.close()
