"""The table of causes, last part: quiet connections, and servers that wait in vain."""
import re
import subprocess
import time

from causes import begin, judge, struck, told_by_why, why
from netns import lose
from util import read_text, wait_for

# Longer than what diagnose takes for an idle drop, and counted from before the last packet.
QUIET_S = 12


def our_port(port):
    """Of the one connection to a port of this network."""
    text = subprocess.run(["ss", "-Htn", "state", "established", f"dport = :{port}"], text=True,
                          check=True, stdout=subprocess.PIPE).stdout
    return re.search(r":(\d+)\s+\S+:" + str(port), text)[1]


def test_client_alive(bare, network):
    """All packets are lost until the server has given up; then the network is back."""
    alive = bare.server(ClientAliveInterval=1, ClientAliveCountMax=2)
    bare.trust(alive)
    bare.host("h", alive, ServerAliveInterval=1, ServerAliveCountMax=30)
    bare.start_daemon()
    proc, since = begin(bare, "h"), time.monotonic()
    lose(f"tcp dport {alive.port}", f"tcp sport {alive.port}")
    wait_for(lambda: "not responding" in read_text(alive.log), "the server's ClientAlive")
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    judge(bare, ("server's ClientAlive", "packets dropped until it gave up; ClientAliveInterval 1, "
                 "CountMax 2", {"server-gave-up"}, ["127.0.0.1", "ClientAlive"]),
          struck(proc, since))


def test_idle_drop(bare, network):
    """A NAT forgets the open connection; the request goes on over a new one."""
    nat = bare.server()
    bare.trust(nat)
    bare.host("h", nat, ConnectTimeout=5, ServerAliveInterval=60)
    bare.start_daemon()
    bare.ok("h", "true")
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > QUIET_S, "a time of quiet")
    lose(f"tcp sport {our_port(nat.port)} tcp dport {nat.port}")
    since = time.monotonic()
    bare.ok("h", "true")
    seconds = time.monotonic() - since
    wait_for(lambda: why(bare, "h") and why(bare, "h")["kind"] == "ended", "its end")
    judge(bare, ("idle drop by NAT or firewall", "an open connection's packets dropped after "
                 "10 s of quiet; the request went on over a new one, the words are those of "
                 "hawserctl why", {"idle-drop"}, ["127.0.0.1", "NAT", "ServerAliveInterval"]),
          told_by_why(bare, "h", seconds))
