"""Slow and stalled readers hold up nobody but themselves, and cost bounded memory."""
import fcntl
import os
import struct
import subprocess
import termios
import threading
import time

import pytest

from util import HEAVY, alive, cpu_seconds, holds_for, kill, pattern, rss_kb, sha, wait_for

# What a stalled session may keep in the daemon: libssh's windows and our own queue (design, 11).
MB_PER_STALLED = 10
MB_OF_DAEMON = 80


def stalled(box, script, count=1):
    """Clients whose output nobody reads; returns once nothing moves any more."""
    procs = [box.popen("h", script) for _ in range(count)]
    wait_for(lambda: all(stuck(p) for p in procs), "the pipes are full")
    return procs


def waiting(stream):
    """Bytes in the pipe."""
    return struct.unpack("i", fcntl.ioctl(stream.fileno(), termios.FIONREAD, b"\0" * 4))[0]


def stuck(proc):
    """Much is in the pipes, and a while later it is the same."""
    before = waiting(proc.stdout), waiting(proc.stderr)
    if max(before) < 16384:
        return False
    wait_for(lambda deadline=time.monotonic() + 0.1: time.monotonic() > deadline, "a while")
    return (waiting(proc.stdout), waiting(proc.stderr)) == before


@pytest.mark.core
def test_others_go_on_beside_a_stalled_reader(warm):
    """Calls on the same transport answer while another one's output waits."""
    stalled(warm, "yes")
    for i in range(20):
        assert warm.run("h", f"echo {i}", timeout=10).text == f"{i}\n"
    assert warm.sshd.logins() <= 2


def test_bulk_beside_a_stalled_reader(warm):
    """20 MB both ways complete beside a stalled session."""
    stalled(warm, "yes")
    data = pattern(20 << 20, 3)
    assert sha(warm.run("h", "cat", input=data, timeout=60).out) == sha(data)


@pytest.mark.core
@pytest.mark.parametrize("script", [
    "yes", "yes >&2", "yes & yes >&2",
    "while :; do head -c 30000 /dev/zero; head -c 100 /dev/zero >&2; done",
])
def test_memory_of_stalled_sessions_is_bounded(warm, script):
    """Eight stalled sessions, stdout, stderr or both: the daemon does not grow without end."""
    before = warm.daemon_rss()
    procs = stalled(warm, script, 8)
    # A reader that takes a little now and then must not make the backlog grow (libssh 0.10).
    for _ in range(30):
        for proc in procs:
            stream = max(proc.stdout, proc.stderr, key=waiting)
            os.read(stream.fileno(), 16384)
        warm.ok("h", "true")
    grown = (warm.daemon_rss() - before) / 1024
    assert grown < HEAVY * (8 * MB_PER_STALLED + MB_OF_DAEMON), f"{grown:.0f} MB more than before"


def test_stalled_reader_gets_everything_in_the_end(warm):
    """After the stall every byte is there, on both streams."""
    script = ("head -c 8000000 /dev/zero | tr '\\0' o & "
              "head -c 4000000 /dev/zero | tr '\\0' e >&2; wait")
    proc = stalled(warm, script)[0]
    warm.ok("h", "true")
    sizes = {}
    err = threading.Thread(target=lambda: sizes.update(err=proc.stderr.read().count(b"e")))
    err.start()
    sizes["out"] = proc.stdout.read().count(b"o")
    err.join()
    assert proc.wait(30) == 0 and sizes == {"out": 8000000, "err": 4000000}


@pytest.mark.core
def test_upload_to_a_command_that_does_not_read(warm):
    """Input that nobody reads stops at the client's pipe; the daemon stays small, others go on."""
    before = warm.daemon_rss()
    proc = warm.popen("h", "echo begun; exec sleep 7770", stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    written = [0]

    def feed():
        try:
            while True:
                written[0] += os.write(proc.stdin.fileno(), b"x" * 65536)
        except OSError:
            pass
    feeder = threading.Thread(target=feed)
    feeder.start()
    seen = -1
    while seen != written[0] or written[0] < 1 << 20:
        seen = written[0]
        for _ in range(5):
            warm.ok("h", "true")
    assert written[0] < 16 << 20, "input was taken without end"
    assert (warm.daemon_rss() - before) / 1024 < HEAVY * (MB_PER_STALLED + MB_OF_DAEMON)
    kill(proc.pid)
    proc.wait()
    feeder.join(20)
    assert not feeder.is_alive()


def test_slow_reader_beside_fast_ones(warm):
    """One reader takes 4 kB between calls of others; all get what they asked for."""
    slow = warm.popen("h", "seq 300000")
    got = bytearray()
    for i in range(20):
        got += os.read(slow.stdout.fileno(), 4096)
        assert warm.ok("h", f"echo {i}") == f"{i}\n"
    got += slow.stdout.read()
    assert slow.wait(30) == 0
    assert bytes(got) == b"".join(b"%d\n" % i for i in range(1, 300001))


def test_stalled_terminal(warm):
    """A terminal whose window is not read: others go on, ^C still ends it."""
    term = warm.spawn("-t", "h", "yes")
    term.expect_exact("y\r\n")
    for i in range(10):
        assert warm.run("h", f"echo {i}", timeout=10).text == f"{i}\n"
    term.send("\x03")
    term.read()


@pytest.mark.core
def test_latency_beside_stalled_sessions(warm):
    """Eight stalled sessions do not make a call slow."""
    begin = time.monotonic()
    for _ in range(10):
        warm.ok("h", "true")
    alone = time.monotonic() - begin
    stalled(warm, "yes", 8)
    begin = time.monotonic()
    for _ in range(10):
        warm.ok("h", "true")
    beside = time.monotonic() - begin
    assert beside < alone * 3 + 1, f"{alone:.2f} s alone, {beside:.2f} s beside"


def test_client_cpu_while_stalled(warm):
    """Nobody spins while nothing can move."""
    proc = stalled(warm, "yes")[0]
    pids = (proc.pid, warm.daemon_pid())
    before = [cpu_seconds(p) for p in pids]
    holds_for(lambda: alive(proc.pid), 1.0, "the client lives")
    for pid, begin in zip(pids, before):
        assert cpu_seconds(pid) - begin < 0.3
    assert rss_kb(proc.pid) < HEAVY * 60000
