"""How long a keystroke takes there and back: alone, on one processor, beside a download."""
import contextlib
import json
import subprocess
import time

from .clients import Host

PIPE_ECHO = "printf @; exec cat"
TERMINAL_ECHO = "stty raw -echo; printf @; exec cat"
BULK_LEAD_S = 2  # how long the download runs before the first keystroke: windows are open then
LINK = ("--rate", 100, "--delay", 10)


def _ping(plan, client, host, count, gap_ms, terminal):
    if terminal:
        mode, argv = ["-t"], client.argv(host, TERMINAL_ECHO, options=("-tt",))
    else:
        mode, argv = [], client.argv(host, PIPE_ECHO)
    result, _ = plan.lab.tool("pingpong", *mode, "-n", count, "-i", gap_ms, *argv,
                              env=client.env)
    return result["p50"]


def alone(row, terminal):
    def run(plan):
        with plan.pair(plan.host()) as clients:
            return plan.alternate(clients, lambda c: {
                row: _ping(plan, c, "bench", plan.few(500, 150), 2, terminal)})
    return run


def one_cpu(row, terminal):
    """Client, daemon or master, sshd and the far program share one processor."""
    def run(plan):
        with plan.lab.pinned(min(plan.cpus())):
            port = plan.lab.start_sshd()
            with plan.pair(Host("bench", port)) as clients:
                return plan.alternate(clients, lambda c: {
                    row: _ping(plan, c, "bench", plan.few(500, 150), 2, terminal)})
    return run


@contextlib.contextmanager
def _download(plan, client, host, speed):
    """A download without end, in a pipe that is read; speed gets its MB/s."""
    proc = plan.lab.procs.start(
        [plan.lab.path_of_tool("pipeflow"), "down", "0", *client.argv(host, "cat /dev/zero")],
        client.env, stdout=subprocess.PIPE)
    time.sleep(BULK_LEAD_S)  # not to synchronise: the load is to be in its steady state
    try:
        yield
    finally:
        said = json.loads(plan.lab.procs.stop(proc))
        speed.append(said["bytes"] / 1e6 / said["seconds"])


def _busy(plan, client, host, row, count):
    speed = []
    with _download(plan, client, host, speed):
        ms = _ping(plan, client, host, count, 20, terminal=True)
    return {row: ms, f"{row}-bulk": speed[0]}


def busy(plan):
    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, lambda c: _busy(
            plan, c, "bench", "echo-busy", plan.few(100, 40)))


def busy_link(row, *proxy_options):
    """The far side of a link of 100 Mbit/s, 10 ms each way, which all connections share."""
    def run(plan):
        port, proxy = plan.lab.start_proxy(*LINK, *proxy_options)
        try:
            with plan.pair(Host("link", port)) as clients:
                return plan.alternate(clients, lambda c: _busy(
                    plan, c, "link", row, plan.few(60, 25)))
        finally:
            plan.lab.procs.stop(proxy)
    return run
