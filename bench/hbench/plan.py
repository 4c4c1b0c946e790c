"""How a benchmark runs: the pair of clients, their turns, and what is kept of the samples."""
import contextlib
import os
import sys
from dataclasses import dataclass, field

from .clients import Hawser, Host, OpenSsh, OpenSshAgain


@dataclass
class Plan:
    lab: object
    build: str
    rounds: int = 3
    quick: bool = False
    against_itself: bool = False
    verbose: bool = False

    def few(self, full, quick):
        """The count to use: full, or the short one under --quick."""
        return quick if self.quick else full

    @staticmethod
    def cpus():
        return os.sched_getaffinity(0)

    def host(self, name="bench", **options):
        return Host(name, self.lab.port, options=options)

    @contextlib.contextmanager
    def pair(self, *hosts, hold=True):
        """Both clients, fresh, each holding a transport to every host; all ended afterwards."""
        first = OpenSshAgain(self.lab, hosts) if self.against_itself \
            else Hawser(self.lab, hosts, self.build)
        clients = [first, OpenSsh(self.lab, hosts)]
        try:
            if hold:
                for client in clients:
                    client.hold(*(host.name for host in hosts))
                    for host in hosts:
                        for _ in range(3):  # code in the cache, configuration resolved
                            client.run(host.name, "true")
            yield clients
        finally:
            for client in clients:
                client.close()

    def alternate(self, clients, measure):
        """Rounds of measure(client) -> {row: value}, the clients in turn and the first of a round
        in turn too, so that a machine that slows down slows down both."""
        samples = Samples()
        for i in range(self.rounds):
            for client in clients if i % 2 == 0 else reversed(clients):
                values = measure(client)
                client.check()
                samples.add(client.role, values)
                if self.verbose:
                    said = ", ".join(f"{k} {v:.4g}" for k, v in values.items())
                    print(f"    round {i + 1} {client.role}: {said}", file=sys.stderr)
        return samples


@dataclass
class Samples:
    """rows[row][role]: one value for each round."""
    rows: dict = field(default_factory=dict)

    def add(self, role, values):
        for row, value in values.items():
            self.rows.setdefault(row, {"hawser": [], "openssh": []})[role].append(value)
