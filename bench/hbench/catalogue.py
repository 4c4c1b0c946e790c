"""All benchmarks, their rows, and the goals: the one place where a goal stands."""
from dataclasses import dataclass, field

from . import echo, held, jump, requests, tools, transfer


@dataclass
class Row:
    """goal bounds the ratio hawser/openssh: from above if less is better, else from below."""
    name: str
    what: str
    unit: str
    less_is_better: bool = True
    goal: float = None

    def met(self, ratio):
        if self.goal is None:
            return None
        return ratio <= self.goal if self.less_is_better else ratio >= self.goal


@dataclass
class Benchmark:
    name: str
    run: object
    rows: list = field(default_factory=list)


def _time(name, what, run, goal=None):
    return Benchmark(name, run, [Row(name, what, "ms", goal=goal)])


def _speed(name, what, run, goal=None):
    return Benchmark(name, run, [Row(name, what, "MB/s", less_is_better=False, goal=goal)])


def _busy(name, what, run, goal=None):
    return Benchmark(name, run, [
        Row(name, what, "ms", goal=goal),
        Row(f"{name}-bulk", "the download meanwhile", "MB/s", less_is_better=False)])


BENCHMARKS = [
    _time("exec", "one command, warm", requests.exec_sequential, goal=0.45),
    _time("exec-par", "one command, warm, 8 at a time", requests.exec_parallel, goal=0.50),
    _time("exec-wan", "one command, warm, 50 ms away", requests.exec_wan, goal=0.55),
    _time("first", "first command, new connection", requests.first, goal=0.30),
    _time("first-daemon", "first command, no daemon yet", requests.first_of_all),
    _speed("down", "download", transfer.down, goal=1.3),
    _speed("down-same", "download, same cipher", transfer.down_same, goal=1.0),
    _speed("up", "upload", transfer.up, goal=1.3),
    _speed("up-same", "upload, same cipher", transfer.up_same, goal=1.0),
    _speed("down-wan", "download, 50 ms away", transfer.down_wan, goal=3.0),
    _time("echo", "keystroke", echo.alone("echo", terminal=True)),
    _time("echo-pipe", "byte through pipes", echo.alone("echo-pipe", terminal=False)),
    _time("echo-1cpu", "keystroke, one processor",
          echo.one_cpu("echo-1cpu", terminal=True), goal=1.0),
    _time("echo-pipe-1cpu", "byte through pipes, one processor",
          echo.one_cpu("echo-pipe-1cpu", terminal=False), goal=1.0),
    _busy("echo-busy", "keystroke beside a download", echo.busy),
    _busy("echo-busy-link", "keystroke beside a download, 100 Mbit/s",
          echo.busy_link("echo-busy-link"), goal=0.35),
    _busy("echo-busy-fifo", "the same over an old router",
          echo.busy_link("echo-busy-fifo", "--fifo")),
    _time("stalled", "one command beside a stalled one", requests.stalled, goal=0.50),
    Benchmark("rsync", tools.rsync, [
        Row("rsync", "rsync of 10,000 small files", "ms"),
        Row("rsync-same", "the same once more, nothing to do", "ms")]),
    _time("git-fetch", "git fetch, nothing new", tools.git_fetch),
    _time("sftp", "sftp batch, 20 files", tools.sftp),
    Benchmark("ansible", tools.ansible, [Row("ansible", "Ansible, 20 hosts x 10 raw tasks", "s")]),
    _speed("jump", "download through a jump host", jump.throughput),
    _time("exec-jump3", "one command, warm, through three jump hosts", jump.command),
    Benchmark("memory", held.memory,
              [Row("memory", "memory of 100 transports", "MiB", goal=0.10)]),
    Benchmark("idle", held.idle,
              [Row("idle-cpu", "processor time of 100 idle transports", "ms/s", goal=0.5),
               Row("idle-wakeups", "wake-ups of 100 idle transports", "1/s", goal=0.3)]),
]


def chosen(only):
    """The benchmarks named in a comma-separated list (all without one); ValueError says which
    name is not known."""
    if not only:
        return BENCHMARKS
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {benchmark.name for benchmark in BENCHMARKS}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not a benchmark (see --list)")
    return [benchmark for benchmark in BENCHMARKS if benchmark.name in names]
