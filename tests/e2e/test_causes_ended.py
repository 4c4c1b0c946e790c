"""The table of causes, second part: what ends a connection or session that was there."""
import os
import signal
import time

import pexpect
import pytest

from causes import Relay, Told, begin, judge, run, struck, told_by_why, why
from util import kill, wait_for


def served(box, host=None, **options):
    """A server with these sshd_config keywords, as "h" (with those of ssh_config in host)."""
    box.sshd = box.server(**options)
    box.trust(box.sshd)
    box.host("h", box.sshd, **(host or {}))
    box.start_daemon()


def through_relay(box):
    """The same through a relay."""
    box.sshd = box.server()
    box.relay = Relay(box.sshd.port)
    box.known_hosts.write_text(f"[127.0.0.1]:{box.relay.port} {box.keys.host_public()}\n")
    box.host("h", box.relay)
    box.start_daemon()
    return begin(box, "h", "echo begun; exec cat")


def killed_sshd(box):
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    box.sshd.cut()
    return struck(proc, since)


def ended_sshd(box):
    """As an init system does at a shutdown."""
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    for pid in box.sshd.workers():
        kill(pid, signal.SIGTERM)
    return struck(proc, since)


def closed_politely(box):
    proc, since = through_relay(box), time.monotonic()
    box.relay.close()
    return struck(proc, since)


def reset(box):
    proc, since = through_relay(box), time.monotonic()
    box.relay.close(reset=True)
    return struck(proc, since)


def damaged(box):
    proc, since = through_relay(box), time.monotonic()
    box.relay.damage = True
    proc.stdin.write(b"x")
    proc.stdin.flush()
    return struck(proc, since)


def channel_timeout(box):
    served(box, ChannelTimeout="session:*=2")
    proc, since = begin(box, "h"), time.monotonic()
    return struck(proc, since)


def forced_command(box):
    served(box, ForceCommand="/bin/false")
    begun = time.monotonic()
    term = box.spawn("-tt", "h")
    term.expect(pexpect.EOF)
    seconds = time.monotonic() - begun
    term.wait()
    return Told(term.before.decode(), seconds, term.exitstatus)


def killed_shell(box):
    """By a signal: the word of the remote end is all there is, and names it."""
    served(box)
    begun = time.monotonic()
    return Told(run(box, "h", "kill -9 $$").err + "hawser: \n", time.monotonic() - begun)


def hangs(box):
    """The machine lives, its sshd does not."""
    served(box, host={"ServerAliveInterval": 1, "ServerAliveCountMax": 2})
    proc, since = begin(box, "h"), time.monotonic()
    workers = box.sshd.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        return struck(proc, since)
    finally:
        for pid in workers:
            kill(pid, signal.SIGCONT)


def daemon_stops(box):
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    assert box.ctl("stop", "--now").status == 0
    return struck(proc, since)


def daemon_killed(box):
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    box.judge_exit = False
    kill(box.daemon_pid())
    told = struck(proc, since)
    box.start_daemon()
    return told


def closed_by_user(box):
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    assert box.ctl("close", "h", "--force").status == 0
    return struck(proc, since)


def locked(box):
    served(box)
    proc, since = begin(box, "h"), time.monotonic()
    assert box.ctl("lock").status == 0
    return struck(proc, since)


def expired(box):
    box.daemon_conf(max_age="1s")
    served(box)
    box.ok("h", "true")
    since = time.monotonic()
    wait_for(lambda: why(box, "h") and why(box, "h")["kind"] == "ended", "its end")
    return told_by_why(box, "h", time.monotonic() - since)


ROWS = [
    ("sshd killed", "kill -9 of its processes", {"server-closed", "reset"},
     ["127.0.0.1", "closed the connection|reset", "its log|crashed"], killed_sshd),
    ("server shuts down", "SIGTERM to its processes, as init does",
     {"server-closed", "server-shutdown", "reset"}, ["127.0.0.1", "stopped|restart|shut"],
     ended_sshd),
    ("proxy or load balancer closes", "FIN in the middle", {"server-closed", "timed-close"},
     ["127.0.0.1", "closed"], closed_politely),
    ("reset", "RST in the middle", {"reset"}, ["127.0.0.1", "reset"], reset),
    ("packet corruption", "one byte of a MAC changed", {"corruption"},
     ["127.0.0.1", "damaged", "ethtool|middlebox"], damaged),
    ("ChannelTimeout", "session:*=2", {"channel-timeout"}, ["127.0.0.1", "ChannelTimeout"],
     channel_timeout),
    ("forced command that exits at once", "ForceCommand /bin/false", {"exits-at-once"},
     ["ended at once", "[Ff]orced command|ForceCommand"], forced_command),
    ("server hangs", "sshd stopped, ServerAliveInterval 1, CountMax 2",
     {"keepalive-timeout", "path-dead"}, ["127.0.0.1", "answer", "console|network"], hangs),
    ("daemon stopped", "hawserctl stop --now", {"daemon-stopped"},
     ["hawserd", "stopped|ended", "h"], daemon_stops),
    ("daemon killed", "kill -9", None, ["hawserd ended", "h", "may still run|look at"],
     daemon_killed),
    ("closed by the user", "hawserctl close --force", {"closed-by-user"},
     ["hawserctl|on request|request"], closed_by_user),
    ("locked", "hawserctl lock while a command runs", {"locked"}, ["lock"], locked),
    ("maximum age", "max-age = 1s", {"expired"}, ["127.0.0.1", "age", "next command"], expired),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[4].__name__ for row in ROWS])
def test_cause(bare, row):
    """The class, the host and the next step; nothing that is just "connection closed"."""
    told = row[4](bare)
    if bare.daemon_pid() == 0:
        bare.start_daemon()
    judge(bare, row[:4], told)


def test_client_killed(bare):
    """Nobody is there to read it; the journal tells who it was."""
    served(bare)
    proc, since = begin(bare, "h"), time.monotonic()
    proc.kill()
    told = wait_for(lambda: [line for line in bare.ctl("log", "h").text.splitlines()
                             if f"pid {proc.pid} ended" in line], "its end in the journal")
    judge(bare, ("client killed", "kill -9 of hawser; read in hawserctl log", None, ["client"]),
          Told(f"hawser: {told[0].split('  ', 2)[2]}\nhawser: (nobody is there to do it)\n",
               time.monotonic() - since))
