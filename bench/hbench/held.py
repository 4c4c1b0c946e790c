"""What a hundred held and idle transports cost: memory, processor time, wake-ups."""
import os
import time

from .clients import Host
from .procs import BenchError, wait_until

KEEPALIVE = {"ServerAliveInterval": 5, "ServerAliveCountMax": 3}
SETTLE_S = 2
CPUCLOCK_SCHED = 2  # <linux/posix-timers.h>


def _hosts(plan, count):
    """As many 'machines' as we like: every address of 127/8 reaches our sshd."""
    return [Host(f"n{i}", plan.lab.port, f"127.0.1.{i}", KEEPALIVE) for i in range(1, count + 1)]


def _pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _cpu_seconds(pids):
    """Of all threads, ended ones too: the process's own CPU clock, see clock_getcpuclockid(3)."""
    return sum(time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) for pid in pids)


def _switches(pids):
    """Voluntary context switches so far, by thread."""
    found = {}
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as status:
                for line in status:
                    if line.startswith("voluntary_ctxt_switches"):
                        found[task] = int(line.split()[1])
    return found


def _measure_memory(client):
    return {"memory": sum(map(_pss_kib, client.holders())) / 1024}


def _measure_idle(client, seconds):
    pids = client.holders()
    cpu, switches = _cpu_seconds(pids), _switches(pids)
    time.sleep(seconds)
    cpu_after, switches_after = _cpu_seconds(pids), _switches(pids)
    woken = sum(count - switches.get(task, 0) for task, count in switches_after.items())
    return {"idle-cpu": (cpu_after - cpu) * 1e3 / seconds, "idle-wakeups": woken / seconds}


def _established(hosts):
    """How many of the hosts have a TCP connection of a client: the server's port is remote."""
    wanted = {_hex_address(host.address, host.port) for host in hosts}
    with open("/proc/net/tcp") as table:
        found = {line.split()[2] for line in table if line.split()[3] == "01"}
    return len(wanted & found)


def _hex_address(address, port):
    octets = [int(part) for part in address.split(".")]
    return "".join(f"{octet:02X}" for octet in reversed(octets)) + f":{port:04X}"


def _held(plan, measure):
    """A fresh client for each turn, alone on the machine while it holds its hundred."""
    hosts = _hosts(plan, plan.few(100, 20))

    def one_turn(client):
        client.hold(*(host.name for host in hosts))
        try:
            wait_until(lambda: _established(hosts) == len(hosts), 5, "all transports held")
            time.sleep(SETTLE_S)  # not to synchronise: logins' garbage is returned, timers settle
            values = measure(client)
            left = _established(hosts)
            if left != len(hosts):
                raise BenchError(f"{client.role} holds only {left} of {len(hosts)} transports")
            return values
        finally:
            client.release()

    with plan.pair(*hosts, hold=False) as clients:
        return plan.alternate(clients, one_turn)


def memory(plan):
    return _held(plan, _measure_memory)


def idle(plan):
    seconds = plan.few(30, 10)
    return _held(plan, lambda client: _measure_idle(client, seconds))
