"""What one command costs: warm, in parallel, far away, cold, beside a stalled session."""
import fcntl
import statistics
import struct
import subprocess
import termios
import time

from .clients import Host
from .procs import BenchError, wait_until


def per_request(plan, client, argv, runs, parallel=1):
    """Milliseconds per request: the whole time over the number of requests."""
    result, _ = plan.lab.tool("spawnloop", "-n", runs, "-P", parallel, *argv, env=client.env)
    return result["wall_s"] * 1e3 / runs


def exec_sequential(plan):
    runs = plan.few(200, 50)
    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, lambda c: {
            "exec": per_request(plan, c, c.argv("bench", "true"), runs)})


def exec_parallel(plan):
    runs = plan.few(200, 80)
    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, lambda c: {
            "exec-par": per_request(plan, c, c.argv("bench", "true"), runs, parallel=8)})


def exec_wan(plan):
    runs = plan.few(20, 8)
    port, proxy = plan.lab.start_proxy("--delay", 25)
    try:
        with plan.pair(Host("wan", port)) as clients:
            return plan.alternate(clients, lambda c: {
                "exec-wan": per_request(plan, c, c.argv("wan", "true"), runs)})
    finally:
        plan.lab.procs.stop(proxy)


def first(plan):
    """A new connection each time; hawser's daemon is there and has read the configuration."""
    runs = plan.few(10, 4)

    def measure(client):
        times = []
        for _ in range(runs):
            client.make_cold("bench")
            times.append(per_request(plan, client, client.cold_argv("bench", "true"), 1))
        return {"first": statistics.median(times)}

    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, measure)


def first_of_all(plan):
    """The same with no daemon: hawser starts it, and nothing is cached."""
    runs = plan.few(5, 3)

    def measure(client):
        times = []
        for _ in range(runs):
            client.forget()
            times.append(per_request(plan, client, client.cold_argv("bench", "true"), 1))
        return {"first-daemon": statistics.median(times)}

    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, measure)


def _waiting_bytes(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def _start_stalled(plan, client):
    """A session that fills its pipe, which nobody reads, and then stands still."""
    proc = plan.lab.procs.start(client.argv("bench", "cat /dev/zero"), client.env,
                                stdout=subprocess.PIPE)
    wait_until(lambda: _waiting_bytes(proc.stdout) >= 32768, 10, "the stalled session's output")
    time.sleep(1)  # not to synchronise: the windows behind the pipe fill too
    if proc.poll() is not None:
        raise BenchError("the stalled session ended")
    return proc


def stalled(plan):
    runs = plan.few(100, 40)

    def measure(client):
        proc = _start_stalled(plan, client)
        try:
            return {"stalled": per_request(plan, client, client.argv("bench", "true"), runs)}
        finally:
            plan.lab.procs.stop(proc)

    with plan.pair(plan.host()) as clients:
        return plan.alternate(clients, measure)
