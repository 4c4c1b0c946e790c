"""A connection is proven alive before a request is put on it: after quiet, after this machine's
network changed, after the daemon stood still."""
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from daemon import HAWSERD
from faults import FaultProxy
from util import read_text, wait_for

# More than the quiet time after which a connection is probed (transport_suspect.c).
QUIET_S = 3.2


def transports(box):
    return json.loads(box.ctl("list", "--json").text)["items"]


class Frozen:
    """A server's processes for one connection, stopped: as dead as a path that drops packets, but
    for TCP's acknowledgements."""

    def __init__(self, server):
        wait_for(server.workers, "one connection's sshd")
        self.pids = server.workers()

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


@contextlib.contextmanager
def still(box):
    """hawserd stands still meanwhile."""
    pid = box.daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: " T " in read_text(f"/proc/{pid}/stat"), "hawserd stands still")
    yield
    os.kill(pid, signal.SIGCONT)


def doubt(box):
    """The daemon has been stopped and goes on: all connections are probed."""
    with still(box):
        pass
    wait_for(lambda: "had been stopped" in read_text(box.daemon_log), "hawserd goes on")


def test_quiet_and_alive(warm):
    """A quiet connection that lives is used on, after a probe."""
    first = transports(warm)[0]["id"]
    wait_for(lambda: transports(warm)[0]["idle_s"] > QUIET_S, "quiet time", 20)
    assert warm.ok("h", "echo on") == "on\n"
    assert [t["id"] for t in transports(warm)] == [first]
    assert "suspect: it was quiet" in read_text(warm.daemon_log)


def test_quiet_and_dead(warm):
    """One that died in silence is found out within 2 s, and the request moves to a new one."""
    first = transports(warm)[0]["id"]
    with Frozen(warm.sshd):
        wait_for(lambda: transports(warm)[0]["idle_s"] > QUIET_S, "quiet time", 20)
        begun = time.monotonic()
        assert warm.ok("h", "echo on") == "on\n"
        took = time.monotonic() - begun
    assert [t["id"] for t in transports(warm)] != [first]
    assert took < 4, took
    log = read_text(warm.daemon_log)
    assert "no answer within 1" in log and "its sshd answers nothing" in log


def test_stopped_daemon(warm):
    """The daemon stood still: everything is probed at once, and lives on."""
    first = transports(warm)[0]["id"]
    doubt(warm)
    wait_for(lambda: transports(warm)[0]["state"] == "ready", "the verdict")
    assert warm.ok("h", "echo on") == "on\n"
    assert [t["id"] for t in transports(warm)] == [first]


@pytest.mark.core
def test_doubt_and_dead(warm):
    """A held connection that nobody uses ends with the verdict."""
    with Frozen(warm.sshd):
        doubt(warm)
        wait_for(lambda: not transports(warm), "the end of the dead one", 5)
    assert "no answer within 1" in read_text(warm.daemon_log)


def test_in_use_is_left_alone(warm):
    """What runs on a silent connection may yet be answered: new requests go beside it."""
    client = warm.popen("h", "echo begun; read x; echo $x", stdin=subprocess.PIPE)
    assert client.stdout.readline() == b"begun\n"
    first = transports(warm)[0]["id"]
    with Frozen(warm.sshd):
        doubt(warm)
        wait_for(lambda: transports(warm)[0]["state"] == "silent", "no answer", 5)
        assert warm.ok("h", "echo beside") == "beside\n"
        assert len(transports(warm)) == 2
    wait_for(lambda: transports(warm)[0]["state"] == "ready", "the answer")
    assert transports(warm)[0]["id"] == first
    out, _ = client.communicate(b"late\n", timeout=20)
    assert out == b"late\n" and client.returncode == 0


@contextlib.contextmanager
def lower(pid):
    """A process that runs only while this one does not: it sees at once what is done meanwhile."""
    cpus = os.sched_getaffinity(0)
    for p in (0, pid):
        os.sched_setaffinity(p, {min(cpus)})
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    yield
    with contextlib.suppress(PermissionError):  # one that is not root's stays low
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    for p in (0, pid):
        os.sched_setaffinity(p, cpus)


@pytest.mark.core
def test_reset_behind_data(bare):
    """Data and a reset come at once: the reset is seen, although what is read first is no error."""
    bare.sshd = bare.server()
    with FaultProxy(bare.sshd.port) as proxy:
        bare.host("h", proxy)
        bare.trust(proxy)
        bare.daemon_conf(keepalive=0)  # which would see it in the end
        bare.start_daemon()
        for _ in range(3):
            client = bare.popen("h", "echo begun; exec sleep 4447")
            assert client.stdout.readline() == b"begun\n"
            with lower(bare.daemon_pid()), proxy.lock:
                proxy.flows[0].client.send(b"x")
                proxy.reset()
            _, err = client.communicate(timeout=20)
            assert client.returncode == 255 and b"reset" in err


def test_address_goes_away(bare):
    """In a network of its own: the address that a connection stands on is taken away."""
    script = bare.dir / "netns.sh"
    script.write_text(f"""
set -e
ip link set lo up
ip addr add 10.9.8.7/24 dev lo
{HAWSERD} --log-level debug 2>{bare.daemon_log} &
pid=$!
until grep -q serves {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
# Announced again, as by DHCP, and one that leads nowhere: no news, or it would be told instead.
ip addr change 10.9.8.7/24 dev lo valid_lft 600 preferred_lft 600
ip addr add 169.254.3.3/16 dev lo scope link
ip addr add 10.9.6.8/24 dev lo
until grep -q 'got the address 10.9.6.8' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
ip addr del 10.9.8.7/24 dev lo
until grep -q 'went away' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
ip addr add 10.9.8.9/24 dev lo
ip route add default dev lo
until grep -q 'default route' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
ip link add left type veth peer name right
ip addr add 10.9.7.1/24 dev left
ip link set left up
ip link set right up
ip route replace default via 10.9.7.2 dev left
until [ $(grep -c 'default route of this machine changed' {bare.daemon_log}) = 2 ]; do
    read -t 0.1 x <> <(:) || :
done
# A cable that is pulled, and put in again.
ip link set right down
until ip link show left | grep -q 'state [A-Z]*DOWN'; do read -t 0.1 x <> <(:) || :; done
ip link set right up
until grep -q 'link of this machine' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
# More at once than the socket holds, then one.
kill -STOP $pid
for i in $(seq 2000); do
    echo "addr add 10.9.5.7/24 dev lo"
    echo "addr del 10.9.5.7/24 dev lo"
done | ip -batch -
kill -CONT $pid
until grep -q '10.9.5.7' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
ip addr add 10.9.5.8/24 dev lo
until grep -q 'got the address 10.9.5.8' {bare.daemon_log}; do read -t 0.1 x <> <(:) || :; done
kill $pid
wait $pid
""")
    done = subprocess.run(["unshare", "-n", "bash", str(script)], env=bare.env, timeout=30,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + read_text(bare.daemon_log)
    log = read_text(bare.daemon_log)
    assert "this machine's address 10.9.8.7 went away" in log
    assert "the default route of this machine changed" in log
