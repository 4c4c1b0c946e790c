"""Through jump hosts (ProxyJump), every one of them an sshd of its own: bytes, and commands."""
import contextlib

from . import requests, transfer
from .clients import Hawser, Host
from .procs import BenchError, BenchSkip

HANDED_OVER = "cannot do this without ssh"  # hawser's words where HAWSER_FALLBACK=no


def _chain(plan, jumps):
    """[hop1, hop2, ..., end]: each is reached through the one before it."""
    names = [f"hop{i}" for i in range(1, jumps + 1)] + ["end"]
    hosts = []
    for name in names:
        options = {"ProxyJump": hosts[-1].name} if hosts else {}
        hosts.append(Host(name, plan.lab.start_sshd(), options=options))
    return hosts


@contextlib.contextmanager
def _held(plan, jumps):
    """Both clients holding the whole chain: for ssh a master for each hop as well, made in the
    order of the way, so that each rides on the one before."""
    hosts = _chain(plan, jumps)
    with plan.pair(*hosts, hold=False) as clients:
        for client in clients:
            try:
                for host in hosts:
                    client.hold(host.name)
                for _ in range(3):
                    client.run("end", "true")
            except BenchError as error:
                if isinstance(client, Hawser) and HANDED_OVER in str(error):
                    raise BenchSkip("this hawser hands ProxyJump to ssh") from error
                raise
        yield clients


def throughput(plan):
    """A download through one jump host."""
    size = plan.few(transfer.GB // 2, transfer.GB // 10)
    with _held(plan, 1) as clients:
        return plan.alternate(clients, lambda c: {
            "jump": transfer.speed_down(plan, c, "end", size)})


def command(plan):
    """One command at the end of a chain of three jump hosts."""
    runs = plan.few(100, 30)
    with _held(plan, 3) as clients:
        return plan.alternate(clients, lambda c: {
            "exec-jump3": requests.per_request(plan, c, c.argv("end", "true"), runs)})
