"""How fast bytes go through a pipe, in MB/s (10^6 bytes): 1 GB near, 50 MB far away."""
import re

from .clients import Host
from .procs import BenchError

GB = 10**9
SAME_CIPHER = {"Ciphers": "aes256-gcm@openssh.com"}


def speed_down(plan, client, host, size):
    """MB/s of that many zeros from a host."""
    remote = f"head -c {size} /dev/zero"
    result, _ = plan.lab.tool("pipeflow", "down", size, *client.argv(host, remote),
                              env=client.env)
    return result["bytes"] / 1e6 / result["seconds"]


def _up(plan, client, host, size):
    """The far end counts too: what a client only swallowed is not uploaded."""
    result, out = plan.lab.tool("pipeflow", "up", size,
                                *client.argv(host, "dd of=/dev/null bs=256k 2>&1"),
                                env=client.env, stream="stderr")
    counted = re.search(r"^(\d+) bytes", out, re.MULTILINE)
    if not counted or int(counted.group(1)) != size:
        raise BenchError(f"upload of {size} bytes: the far end says: {out.strip()}")
    return result["bytes"] / 1e6 / result["seconds"]


def near(row, flow, options):
    """A benchmark of one direction and one choice of ciphers."""
    def run(plan):
        size = plan.few(GB, GB // 5)
        with plan.pair(plan.host(**options)) as clients:
            return plan.alternate(clients, lambda c: {row: flow(plan, c, "bench", size)})
    return run


down = near("down", speed_down, {})
up = near("up", _up, {})
down_same = near("down-same", speed_down, SAME_CIPHER)
up_same = near("up-same", _up, SAME_CIPHER)


def down_wan(plan):
    size = plan.few(50, 20) * 10**6
    port, proxy = plan.lab.start_proxy("--delay", 25)
    try:
        with plan.pair(Host("wan", port)) as clients:
            return plan.alternate(clients, lambda c: {"down-wan": speed_down(plan, c, "wan", size)})
    finally:
        plan.lab.procs.stop(proxy)
