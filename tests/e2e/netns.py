"""A network of a test's own: this process, and all that it starts from then on, has nothing but a
loopback interface, whose packets nft(8) may drop."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
TABLE = "hawser_test"


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def own_network(hard=False, mtu=65536):
    """Root only. hard: SYNs are repeated as by kernels before 6.5, from 1 s on ever more seldom;
    later ones repeat the first four evenly."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            run("ip", "link", "set", "lo", "up", "mtu", str(mtu))
            with contextlib.suppress(FileNotFoundError):
                if hard:
                    with open("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", "w") as f:
                        f.write("0")
            yield
        finally:
            libc.setns(before, CLONE_NEWNET)
    finally:
        os.close(before)


def lose(*rules):
    """Drops what these rules match (nft(8)), from now on."""
    lines = "\n".join(f"{rule} drop" for rule in rules)
    subprocess.run(["nft", "-f", "-"], check=True, text=True, input=(
        "table inet t {\nchain c {\ntype filter hook input priority 0;\n" + lines + "\n}\n}\n"))


class BlackHole:
    """Drops all of a server's packets, both ways, without a word to anybody."""

    def __init__(self, port):
        self.port = port

    def __enter__(self):
        run("nft", "add", "table", "inet", TABLE)
        run("nft", f"add chain inet {TABLE} in {{ type filter hook input priority 0; }}")
        for side in ("dport", "sport"):
            run("nft", f"add rule inet {TABLE} in tcp {side} {self.port} counter drop")
        return self

    def __exit__(self, *_):
        run("nft", "delete", "table", "inet", TABLE)
