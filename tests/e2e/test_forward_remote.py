"""Remote forwards: -R to ports and sockets of ours, ports that the server chooses, -R as SOCKS."""
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from forwarding import (Server, connect, echo, exactly, exchange, lines, listens, ports, read_all,
                        socks4, socks5)
from util import fd_targets, free_port, holds_for, kill, pattern, wait_for


def chosen_port(client):
    """The port of "Allocated port N for remote forward to ...", and where to."""
    line = client.stderr.readline().decode().rstrip()
    match = re.fullmatch(r"Allocated port (\d+) for remote forward to (.*)", line)
    assert match, line
    return int(match[1]), match[2]


@pytest.mark.core
@pytest.mark.oracle
def test_remote(warm, echoing):
    """-R: the server listens on its loopback; gone with the client, and free again."""
    port = free_port()
    for _ in range(2):
        client = warm.popen("-N", "-R", f"{port}:127.0.0.1:{echoing.port}", "h")
        with connect(port) as c, connect(port) as d:
            assert exchange(c) == exchange(d) == b"hello"
        assert not listens(port, "127.0.0.2")
        client.kill()
        wait_for(lambda: not listens(port), "the listener's end")


@pytest.mark.oracle
@pytest.mark.parametrize("bind, everywhere", [("", True), ("*", True), ("localhost", False),
                                              ("127.0.0.1", False)])
def test_bind_addresses(bare, echoing, bind, everywhere):
    """With GatewayPorts clientspecified the server follows the client's address."""
    bare.sshd = bare.server(GatewayPorts="clientspecified")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    port = free_port()
    client = bare.popen("-N", "-R", f"{bind}:{port}:127.0.0.1:{echoing.port}", "h")
    with connect(port) as c:
        assert exchange(c) == b"hello"
    assert listens(port, "127.0.0.5") == everywhere
    client.kill()


@pytest.mark.core
@pytest.mark.oracle
def test_chosen_port(warm, echoing):
    """-R 0: the port is told, on stderr, in ssh's words."""
    path = warm.dir / "near"
    with Server(echo, path=path):
        client = warm.popen("-N", "-R", f"0:localhost:{echoing.port}", "-R", f"0:{path}", "-R", "0",
                            "h")
        first, to = chosen_port(client)
        assert to == f"localhost:{echoing.port}"
        second, to = chosen_port(client)
        assert to == f"{path}:-2"
        third, to = chosen_port(client)
        assert to == "socks:0"
        for port in (first, second):
            with connect(port) as c:
                assert exchange(c) == b"hello"
        with connect(third) as c:
            assert socks5(c, "localhost", echoing.port) == 0
            assert exchange(c) == b"hello"
        client.kill()
        for port in (first, second, third):
            wait_for(lambda: not listens(port), "the listener's end")


@pytest.mark.core
@pytest.mark.oracle
def test_refused(warm, echoing):
    """A port that is taken: a warning, or with ExitOnForwardFailure the end."""
    spec = f"127.0.0.1:{echoing.port}:127.0.0.1:1"
    result = warm.run("-R", spec, "h", "echo ran")
    assert result.status == 0 and result.text == "ran\n" and lines(result) == [
        f"Warning: remote port forwarding failed for listen port {echoing.port}"], result
    result = warm.run("-o", "ExitOnForwardFailure=yes", "-R", spec, "-N", "h")
    assert result.status == 255 and lines(result) == [
        f"Error: remote port forwarding failed for listen port {echoing.port}"], result


@pytest.mark.oracle
def test_target_fails(warm):
    """What we cannot connect to is said by us, and ends the connection at the server's side."""
    port = free_port()
    for target, said in (("127.0.0.1:1", "connect_to 127.0.0.1 port 1: failed."),
                         ("nosuch.invalid:1", "connect_to nosuch.invalid: unknown host ("),
                         ("/nosuch", "connect to /nosuch port -2 failed: No such file")):
        client = warm.popen("-N", "-R", f"{port}:{target}", "h")
        with connect(port) as c:
            assert read_all(c) == b""
        assert client.stderr.readline().decode().startswith(said)
        client.kill()
        wait_for(lambda: not listens(port), "the listener's end")


@pytest.mark.core
@pytest.mark.oracle
def test_socks(warm, echoing):
    """-R without a target: SOCKS at the server's side, all versions; what is behind the request is
    not lost."""
    port = free_port()
    client = warm.popen("-N", "-R", str(port), "h")
    with connect(port) as c:
        assert socks5(c, "localhost", echoing.port) == 0
        assert exchange(c) == b"hello"
    with connect(port) as c:
        assert socks4(c, "localhost", echoing.port) == 90
        assert exchange(c) == b"hello"
    data = pattern(1 << 20, 2)
    with connect(port) as c:
        request = b"\4\1" + struct.pack(">H", echoing.port) + b"\x7f\0\0\1" + b"me\0"
        sender = threading.Thread(
            target=lambda: (c.sendall(request + data), c.shutdown(socket.SHUT_WR)))
        sender.start()
        assert exactly(c, 8)[1] == 90
        assert hashlib.sha256(read_all(c)).digest() == hashlib.sha256(data).digest()
        sender.join()
    for bad in (b"nonsense", b"\5\1\0\5\2\0\1" + b"\0" * 6):
        with connect(port) as c:
            c.sendall(bad)
            read_all(c)
    with connect(port) as c:
        assert socks5(c, "127.0.0.1", 1) != 0
    client.kill()


@pytest.mark.oracle
@pytest.mark.parametrize("permitted, allowed", [
    ("localhost:{}", True), ("*:{}", True), ("localhost:*", True), ("127.0.0.1:{}", False),
    ("localhost:1", False), ("none", False), ("any", True)])
def test_permit_remote_open(warm, echoing, permitted, allowed):
    """PermitRemoteOpen says where -R as SOCKS may lead."""
    port = free_port()
    client = warm.popen("-N", "-o", f"PermitRemoteOpen={permitted.format(echoing.port)}",
                        "-R", str(port), "h")
    with connect(port) as c:
        assert (socks5(c, "localhost", echoing.port) == 0) == allowed
    client.kill()


@pytest.mark.oracle
def test_much_both_ways(warm, echoing):
    """A large transfer each way, whole, and half-closed at the end."""
    port = free_port()
    client = warm.popen("-N", "-R", f"{port}:127.0.0.1:{echoing.port}", "h")
    data = pattern(50 << 20, 6)
    with connect(port) as c:
        sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
        sender.start()
        assert hashlib.sha256(read_all(c)).digest() == hashlib.sha256(data).digest()
        sender.join()
    client.kill()


def silence(box):
    """The server's processes stop (SIGSTOP) until the second call."""
    pids = box.sshd.workers()
    for pid in pids:
        kill(pid, signal.SIGSTOP)
    return lambda: [kill(pid, signal.SIGCONT) for pid in pids]


@pytest.mark.parametrize("keepalive_first", [True, False])
def test_beside_keepalives(cold, echoing, keepalive_first):
    """libssh has one place for such requests, which keepalives use too: neither takes the other's
    answer, whichever is under way when the other is due."""
    cold.start_daemon()
    keep = cold.popen("-N", "-oServerAliveInterval=1", "-oServerAliveCountMax=9", "-R", "0:a:1",
                      "h")
    chosen_port(keep)
    one, two, three = ports(3)
    resume = silence(cold)
    if keepalive_first:
        holds_for(lambda: keep.poll() is None, 2.2, "the keepalives were lost")
    args = [a for p in (one, two, three) for a in ("-R", f"{p}:127.0.0.1:{echoing.port}")]
    client = cold.popen(*args, "-R", f"127.0.0.1:{echoing.port}:127.0.0.1:1", "h", "cat", stdin=-1)
    holds_for(lambda: client.poll() is None, 0.2 if keepalive_first else 2.2, "the client left")
    resume()
    for port in (one, two, three):
        with connect(port) as c:
            assert exchange(c) == b"hello"
    assert client.stderr.readline().decode() == \
        f"Warning: remote port forwarding failed for listen port {echoing.port}\n"
    client.stdin.close()
    assert client.wait(20) == 0
    for port in (one, two, three):
        wait_for(lambda: not listens(port), "the listener's end")
    assert keep.poll() is None
    keep.kill()


def test_answers_at_once(warm):
    """Answered before libssh has returned from asking, the next one is asked all the same."""
    want = [word for n in (1, 2, 3) for word in ("-R", f"0:127.0.0.1:{n}")]
    for _ in range(8):
        result = warm.run(*want, "h", "true", timeout=20)
        assert result.status == 0 and result.err.count("Allocated port") == 3, result
    assert warm.sshd.logins() == 1


def test_two_clients_want_one_port(warm, echoing):
    """On a shared connection too the second is refused, and the first goes on."""
    port = free_port()
    first = warm.popen("-N", "-R", f"{port}:127.0.0.1:{echoing.port}", "h")
    with connect(port) as c:
        assert exchange(c) == b"hello"
        result = warm.run("-R", f"{port}:127.0.0.1:1", "h", "true")
        assert "remote port forwarding failed" in result.err
        with connect(port) as d:
            assert exchange(d) == b"hello"
        assert exchange(c) == b"hello"
    first.kill()
    assert warm.sshd.logins() == 1


def test_many_leak_nothing(warm, echoing):
    """200 connections of the server's, 40 at a time: no descriptor stays."""
    port = free_port()
    client = warm.popen("-N", "-R", f"{port}:127.0.0.1:{echoing.port}", "h")
    with connect(port) as c:
        assert exchange(c) == b"hello"
    pid = warm.daemon_pid()
    wait_for(lambda: not echoing.open, "the first connection's end")
    steady = len(fd_targets(pid))
    for _ in range(5):
        batch = [connect(port) for _ in range(40)]
        for one in batch:
            assert exchange(one) == b"hello"
        for one in batch:
            one.close()
    wait_for(lambda: len(fd_targets(pid)) <= steady, f"{steady} descriptors again")
    client.kill()


def test_waits_for_connections(warm, echoing):
    """The command has ended, a connection is open: the client stays."""
    port = free_port()
    client = warm.popen("-R", f"{port}:127.0.0.1:{echoing.port}", "h", "cat; exit 6", stdin=-1)
    with connect(port) as c:
        assert exchange(c) == b"hello"
        client.stdin.close()
        assert exchange(c) == b"hello"
        assert client.poll() is None
    assert client.wait(20) == 6


def test_remote_socket_is_handed_over(warm):
    """A Unix socket at the server's side is ssh's affair."""
    result = warm.run("-R", "/tmp/there:127.0.0.1:1", "h", "true")
    assert result.status == 255
    assert "RemoteForward listens on a Unix socket" in result.err, result
    far = warm.account.home / "remote.sock"
    result = warm.run("-R", f"{far}:127.0.0.1:1", "h", f"test -S {far} && echo there",
                      env={"HAWSER_FALLBACK": "yes"})
    assert result.text == "there\n", result
    os.unlink(far)


def test_chosen_port_beside_traffic(warm, echoing):
    """The port is right, whatever else comes in: libssh may look for it in another packet."""
    load = [warm.popen("h", "while :; do echo x; done", stdout=subprocess.DEVNULL),
            warm.popen("h", "cat /dev/zero", stdout=subprocess.DEVNULL)]
    for _ in range(8):
        client = warm.popen("-N", "-R", f"0:127.0.0.1:{echoing.port}",
                            "-R", f"0:localhost:{echoing.port}", "h")
        for port in [chosen_port(client)[0] for _ in range(2)]:
            with connect(port) as c:
                assert exchange(c) == b"hello"
        client.kill()
    for one in load:
        one.kill()
