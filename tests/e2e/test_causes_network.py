"""The table of causes, third part: what a network does, in one of this test's own. Rows go side by
side, for most of their time is waiting."""
import os
import subprocess
import threading
import time

from causes import begin, judge, run, struck
from netns import lose

ALIVE = {"ServerAliveInterval": 1, "ServerAliveCountMax": 3}


def command(box, name, words):
    """A command on a connection that is there."""
    since = time.monotonic()
    proc = box.popen(name, words, stdin=subprocess.PIPE)
    if words == "cat":
        os.set_blocking(proc.stdin.fileno(), False)
        os.write(proc.stdin.fileno(), bytes(65536))
    return struck(proc, since)


def login(box, name):
    return run(box, name, "true")


def bulk_down(box, name):
    return command(box, name, "head -c 5000 /dev/zero; exec sleep 4446")


def bulk_up(box, name):
    return command(box, name, "cat")


def running(box, name):
    """A command that ran before."""
    since = time.monotonic()
    return struck(box.running[name], since)


# name: cause, how, classes, words; what is dropped ("up": to the server); what shows
# it; ssh_config and sshd_config beside the usual.
ROWS = {
    "unreachable": ("unreachable", "an address without a route", {"unreachable"},
                    ["192.0.2.7", "network|route"], [], login, {"HostName": "192.0.2.7"}, {}),
    "timeout": ("connect timeout", "packets dropped, ConnectTimeout 2",
                {"connect-timeout"}, ["127.0.0.1", "timed out", "firewall|down"], ["up"], login,
                {"ConnectTimeout": 2}, {}),
    "kex-down": ("path MTU, in key exchange", "the server's packets over 600 bytes dropped, "
                 "ConnectTimeout 5", {"path-mtu"}, ["127.0.0.1", "key exchange", "mtu|MTU"],
                 ["down > 600"], login, {"ConnectTimeout": 5}, {}),
    "kex-up": ("path MTU, in key exchange", "our packets over 600 bytes dropped, "
               "ConnectTimeout 5", {"path-mtu"}, ["127.0.0.1", "key exchange", "mtu|MTU"],
               ["up > 600"], login, {"ConnectTimeout": 5}, {}),
    "bulk-down": ("path MTU, at first bulk output", "packets over 1300 bytes dropped, "
                  "ServerAliveInterval 1, CountMax 4", {"path-mtu"},
                  ["127.0.0.1", "large", "mtu|MTU"], ["down > 1300"], bulk_down,
                  dict(ALIVE, ServerAliveCountMax=4), {}),
    "bulk-up": ("path MTU, at first bulk input", "our packets over 1300 bytes dropped, "
                "ServerAliveInterval 1, CountMax 4", {"path-mtu"},
                ["127.0.0.1", "large", "mtu|MTU"], ["up > 1300"], bulk_up,
                dict(ALIVE, ServerAliveCountMax=4), {}),
    "hole": ("keepalive timeout", "all packets dropped, ServerAliveInterval 1, CountMax 3",
             {"keepalive-timeout", "path-dead"}, ["127.0.0.1", "keepalive|answer", "network"],
             ["up", "down"], running, ALIVE, {}),
    "one-way": ("one direction lost", "packets to the server dropped, ServerAliveInterval 1, "
                "CountMax 4", {"path-dead", "keepalive-timeout"}, ["127.0.0.1", "network|firewall"],
                ["up"], running, dict(ALIVE, ServerAliveCountMax=4), {}),
}


def rule(lost, port):
    """`up > 600` for nft."""
    way, _, size = lost.partition(" ")
    return (f"tcp {'dport' if way == 'up' else 'sport'} {port}" +
            (f" meta length {size}" if size else ""))


def test_causes(bare, network):
    """The class, the host and the next step, each after what its time-outs say."""
    made, told = {}, {}
    for name, row in ROWS.items():
        made[name] = bare.server(**row[7])
        bare.trust(made[name])
        bare.host(name, made[name], **{"ConnectTimeout": 5, **row[6]})
    bare.start_daemon()
    for name, row in ROWS.items():
        if row[5] in (bulk_down, bulk_up):
            bare.ok(name, "true")
    bare.running = {name: begin(bare, name) for name, row in ROWS.items() if row[5] is running}
    lose(*(rule(one, made[name].port) for name, row in ROWS.items() for one in row[4]))

    def strike(name, row):
        told[name] = row[5](bare, name)

    threads = [threading.Thread(target=strike, args=item) for item in ROWS.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = []
    for name, row in ROWS.items():
        try:
            judge(bare, row[:4], told[name], name)
        except AssertionError as e:
            wrong.append(f"{name}: {e}")
    assert not wrong, "\n".join(wrong)


def test_this_machine(bare, network):
    """Its address goes away; its routes change while nothing comes through."""
    made = {}
    for name, address in ("moved", "10.9.8.7"), ("routed", "10.9.8.6"):
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        made[name] = bare.server(ListenAddress="0.0.0.0")
        bare.host(name, made[name], HostName=address, StrictHostKeyChecking="accept-new", **ALIVE)
    bare.start_daemon()
    procs = {name: begin(bare, name) for name in made}
    lose(f"tcp dport {made['routed'].port}", f"tcp dport {made['moved'].port}")
    since = time.monotonic()
    subprocess.run(["ip", "addr", "del", "10.9.8.7/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=True)
    judge(bare, ("local address changed", "ip addr del; ServerAliveInterval 1, CountMax 3",
                 {"address-changed"}, ["10.9.8.7", "address", "new connection"]),
          struck(procs["moved"], since), "moved")
    judge(bare, ("routes changed", "ip route add, and packets dropped; ServerAliveInterval 1, "
                 "CountMax 3", {"route-changed"}, ["10.9.8.6", "route", "new connection"]),
          struck(procs["routed"], since), "routed")
