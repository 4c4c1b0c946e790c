"""Small helpers of the end-to-end tests: waiting with a deadline, /proc, ports, checksums."""
import contextlib
import ctypes
import hashlib
import os
import pathlib
import random
import signal
import socket
import time

# Sanitizer builds and busy machines: every deadline is multiplied by this.
SLOW = float(os.environ.get("HAWSER_TEST_SLOW", "1"))
# Their heap costs more, too: every bound on memory is multiplied by this.
HEAVY = 1 if SLOW == 1 else 3


def wait_for(condition, what, timeout=15.0):
    """Polls condition() until it is true and returns its value; fails when the deadline passes.

    The only place of the suite that sleeps: everything else states what it waits for."""
    deadline = time.monotonic() + timeout * SLOW
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout * SLOW:.0f} s: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def holds_for(condition, seconds, what):
    """Asserts that condition() stays true for a while (for "nothing happens" statements)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), what
        time.sleep(0.02)


def free_port(given=set()):
    """A TCP port of 127.0.0.1 that was free a moment ago: below those that the kernel gives to who
    asks for any, so that no server or client of the test gets it before it is used."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            if port not in given:
                given.add(port)
                return port


def read_text(path):
    """The text of a file, "" when it is not there."""
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""


def sha(data):
    return hashlib.sha256(data).hexdigest()


def sha_file(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


_pattern = {}


def pattern(size, seed=0):
    """Bytes that do not repeat soon, the same for the same size and seed."""
    key = (size, seed)
    if key not in _pattern:
        if size > 8 << 20:
            return hashlib.shake_128(b"%d" % seed).digest(size)
        _pattern[key] = hashlib.shake_128(b"%d" % seed).digest(size)
    return _pattern[key]


# ---- processes -------------------------------------------------------------------------------

def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; None when there is no such process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def alive(pid):
    """True for a process that runs (a zombie does not)."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in "ZX"


def state(pid):
    fields = stat_fields(pid)
    return fields and fields[0]


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def children(pid):
    """All descendants of a process."""
    parents = {}
    for p in all_pids():
        fields = stat_fields(p)
        if fields:
            parents.setdefault(int(fields[1]), []).append(p)
    found, todo = [], [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def hold_all_below(root, wanted=lambda pid: True):
    """Stops a process's descendants, and returns them: to be killed, without one that is forked
    meanwhile, is not seen and stays."""
    held = set()
    while new := [p for p in children(root) if p not in held and wanted(p)]:
        for pid in new:
            kill(pid, signal.SIGSTOP)
        for pid in new:
            wait_for(lambda p=pid: state(p) in (None, "T", "t", "Z", "X"), f"{pid} stops")
        held.update(new)
    return held


def words_of(pid):
    """A process's command line; "" when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def environ_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """preexec_fn: not even a test run that is killed leaves a server behind (prctl(2))."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill(pid, sig=signal.SIGKILL):
    assert pid > 1, f"not a process of ours: {pid}"
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def fd_targets(pid):
    """{number: what it is} of a process's descriptors."""
    found = {}
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                pass
    except FileNotFoundError:
        pass
    return found


def fd_flags(pid, fd):
    """The open file description's flags as the kernel shows them to anyone."""
    for line in read_text(f"/proc/{pid}/fdinfo/{fd}").splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    return 0


def rss_kb(pid):
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
