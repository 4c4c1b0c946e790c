"""Faults at random moments under eight clients that each append lines to a file: no line twice,
every line that is missing was reported, nobody hangs, and the daemon is as it was.

HAWSER_FAULTS=500 for the long run, HAWSER_SEED=N to have one again; it prints what came of it."""
import collections
import json
import os
import random
import subprocess
import threading
import time

import pytest

from faults import FaultProxy
from util import SLOW, kill, read_text, wait_for

FAULTS = int(os.environ.get("HAWSER_FAULTS", "30"))
SEED = int(os.environ.get("HAWSER_SEED", "0")) or random.randrange(1, 1 << 30)
CLIENTS = 8
# A client that takes longer hangs: the longest that hawser may make one wait is `reconnect`, the
# keepalives' verdict, and a login's time.
HANG_S = 90 * SLOW


class Client(threading.Thread):
    """Appends its lines one after the other, and keeps how each ended."""

    def __init__(self, box, number, stop):
        super().__init__(daemon=True)
        self.box, self.number, self.stop = box, number, stop
        self.told, self.hung, self.lines = {}, None, 0

    def run(self):
        while not self.stop.is_set() and self.hung is None:
            self.lines += 1
            self.append(f"{self.number}-{self.lines}")

    def append(self, line):
        read, write = os.pipe()
        proc = subprocess.Popen(
            self.box.command("--status-fd", write, "h", f"echo {line} >>{self.box.dir}/lines"),
            env=self.box.env, pass_fds=[write], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(write)
        try:
            _, err = proc.communicate(timeout=HANG_S)
        except subprocess.TimeoutExpired:
            self.hung = line
            proc.kill()
            err = proc.communicate()[1]
        with os.fdopen(read) as f:
            text = f.read()
        self.told[line] = (proc.returncode, json.loads(text) if text else {}, err.decode())


def kill_worker(box, _proxy, dice):
    workers = box.sshd.workers()
    if workers:
        kill(dice.choice(workers))


def pause(seconds):
    threading.Event().wait(seconds)  # the length of the fault itself, not a wait for something


def blackhole(_box, proxy, dice):
    proxy.blackhole(up=dice.random() < 0.8)
    pause(dice.uniform(0.05, 1.5))
    proxy.heal()


def refuse(_box, proxy, dice):
    proxy.refuse()
    proxy.reset()
    pause(dice.uniform(0, 0.3))
    proxy.listen()


def slow(_box, proxy, dice):
    proxy.delay(dice.uniform(0, 0.1))
    pause(dice.uniform(0, 0.2))
    proxy.delay(0)


KINDS = {
    "RST": lambda box, proxy, dice: proxy.reset(),
    "FIN": lambda box, proxy, dice: proxy.finish(),
    "half open": lambda box, proxy, dice: proxy.half_open(),
    "byte damaged": lambda box, proxy, dice: proxy.corrupt(dice.choice(("up", "down"))),
    "RST after so many bytes": lambda box, proxy, dice: proxy.cut_after(
        dice.randrange(1, 3000), dice.choice(("up", "down"))),
    "sshd killed": kill_worker,
    "black hole": blackhole,
    "server away": refuse,
    "closed before the banner": lambda box, proxy, dice: (proxy.greet(b"", 1), proxy.reset()),
    "delay": slow,
}


@pytest.fixture
def stormy(bare):
    bare.daemon_conf(keepalive=1, keepalive_count=2)
    bare.sshd = bare.server(LoginGraceTime=10, MaxStartups="200")
    bare.proxy = FaultProxy(bare.sshd.port)
    bare.trust(bare.sshd)
    bare.host("h", bare.proxy, HostKeyAlias=f"[127.0.0.1]:{bare.sshd.port}",
              ServerAliveInterval=1, ServerAliveCountMax=2, ConnectTimeout=4)
    bare.start_daemon(level="info")
    (bare.dir / "lines").touch()
    (bare.dir / "lines").chmod(0o666)
    yield bare
    bare.proxy.close()


def settle(box):
    """The connections that the storm left are closed, one is there, and nothing runs."""
    box.ok("h", "true")
    box.ctl("close", "h", "--force")
    wait_for(lambda: not json.loads(box.ctl("list", "--json").text)["items"], "all are closed")
    box.ok("h", "true")


def test_storm(stormy):
    """No line twice, none missing in silence, nobody hangs, nothing is left behind."""
    box, dice, stop = stormy, random.Random(SEED), threading.Event()
    for _ in range(CLIENTS):
        box.ok("h", "true")
    settle(box)
    fds, rss = len(box.daemon_fds()), box.daemon_rss()
    clients = [Client(box, n, stop) for n in range(CLIENTS)]
    begun, done = time.monotonic(), collections.Counter()
    for client in clients:
        client.start()
    for _ in range(FAULTS):
        pause(dice.uniform(0, 0.25))
        kind = dice.choice(list(KINDS))
        done[kind] += 1
        KINDS[kind](box, box.proxy, dice)
    box.proxy.heal()
    stop.set()
    for client in clients:
        client.join(HANG_S + 20)
    seconds = time.monotonic() - begun
    settle(box)
    # One more now and then: what is kept is written to the disk.
    left = wait_for(lambda: (n := len(box.daemon_fds())) <= fds and n, "descriptors are back", 10)
    judge(box, clients, done, seconds, ((fds, left), (rss, box.daemon_rss())))


def judge(box, clients, done, seconds, used):
    lines = collections.Counter(read_text(box.dir / "lines").split())
    told = {line: end for client in clients for line, end in client.told.items()}
    fine = {line for line, (status, _, _) in told.items() if status == 0}
    unknown = {line for line, (_, how, _) in told.items() if how.get("started") == "unknown"}
    report = {
        "seed": SEED, "faults": sum(done.values()), "kinds": dict(done), "seconds": round(seconds),
        "lines asked for": len(told), "ran and told so": len(fine),
        "not known, and ran": len(unknown & lines.keys()),
        "not known, and did not run": len(unknown - lines.keys()),
        "failed": len(told) - len(fine) - len(unknown),
        "descriptors": used[0],
        "memory (kB)": used[1],  # the journal keeps its newest 4096 entries
    }
    print(json.dumps(report, indent=1))
    assert not [c.hung for c in clients if c.hung], (SEED, [c.hung for c in clients])
    assert max(lines.values()) == 1, (SEED, [n for n, k in lines.items() if k > 1])
    assert not fine - lines.keys(), (SEED, "told as done, and not there", fine - lines.keys())
    for line in lines.keys() - fine:
        status, how, err = told[line]
        assert how["started"] in (True, "unknown"), (SEED, line, status, how, err)
    for line, (status, how, err) in told.items():
        # A sshd that is killed between fork and exec is a command that a signal ended.
        assert status == 0 or how["signal"] == "KILL" or (
            how["cause"] and how["error"] in err), (SEED, line, how, err)
    assert used[1][1] < used[1][0] + 20000 * SLOW, report
    assert fine, report  # while the server is away many fail, and fast
