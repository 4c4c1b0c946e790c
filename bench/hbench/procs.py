"""Processes that we start, and their certain end."""
import ctypes
import os
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """A measurement that could not be made; the text says what failed and what it said."""


class BenchSkip(BenchError):
    """A measurement that cannot be made here at all; the text says what it would need."""


def _die_with_parent():
    """Runs in the child: if we are killed outright, the kernel ends it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds, what):
    """Polls a condition that no descriptor announces; BenchError when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def end_pid(pid, seconds=5):
    """Ends a process that is not our child (a daemon that detached itself)."""
    for signo in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, signo)
            wait_until(lambda: not alive(pid), seconds, f"end of process {pid}")
            return
        except ProcessLookupError:
            return
        except BenchError:
            continue


class Procs:
    """Every child is a process group of its own, so that its end takes its children along."""

    def __init__(self, log_path):
        self.log = open(log_path, "ab")
        self.log_path = log_path
        self.running = []

    def start(self, argv, env=None, **streams):
        streams.setdefault("stdin", subprocess.DEVNULL)
        streams.setdefault("stdout", subprocess.DEVNULL)
        streams.setdefault("stderr", self.log)
        try:
            proc = subprocess.Popen(argv, env=env, start_new_session=True,
                                    preexec_fn=_die_with_parent, **streams)
        except OSError as error:
            raise BenchError(f"{argv[0]}: {error.strerror}") from error
        self.running.append(proc)
        return proc

    def stop(self, proc, seconds=5):
        """Ends a child and its group; returns what it wrote to a captured stdout."""
        out = None
        if proc.poll() is None:
            os.killpg(proc.pid, signal.SIGTERM)
        try:
            out, _ = proc.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            out, _ = proc.communicate()
        if proc in self.running:
            self.running.remove(proc)
        return out

    def run(self, argv, env=None, timeout=120, check=True):
        """Runs argv to its end and returns (status, stdout, stderr)."""
        proc = self.start(argv, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = proc.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as late:
            self.stop(proc)
            raise BenchError(f"{' '.join(argv)}: no end within {timeout} s") from late
        finally:
            if proc in self.running and proc.poll() is not None:
                self.running.remove(proc)
        if check and proc.returncode != 0:
            words = err.decode(errors="replace").strip()[-600:]
            raise BenchError(f"{' '.join(argv)}: status {proc.returncode}: {words}")
        return proc.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    def stop_all(self):
        for proc in list(reversed(self.running)):
            self.stop(proc)
        self.log.close()
