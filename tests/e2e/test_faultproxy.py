"""The fault proxy itself: each fault does what its name says, seen from a plain socket."""
import contextlib
import socket
import threading
import time

import pytest

from faults import DOWN, UP, FaultProxy
from util import holds_for, wait_for


class Echo:
    """A server that sends back what comes, until the end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.talk, args=self.listener.accept()[:1],
                                 daemon=True).start()

    @staticmethod
    def talk(sock):
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)


@pytest.fixture
def proxy():
    server = Echo()
    with FaultProxy(server.port) as p:
        yield p
    server.listener.close()


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        s.settimeout(10)
        assert says(s, b"hello") == b"hello"
        yield s


def says(sock, data):
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        more = sock.recv(65536)
        if not more:
            break
        got += more
    return got


def silent(sock, seconds=0.3):
    sock.settimeout(seconds)
    try:
        return sock.recv(1) is None
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)


def test_passes(client):
    """Without a fault: a megabyte comes back as it was."""
    data = bytes(range(256)) * 4096
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    got = b""
    while len(got) < len(data):
        got += client.recv(65536)
    assert got == data


def test_end_passes(client):
    """An end is passed on, behind the bytes."""
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b"last" and client.recv(10) == b""


def test_delay_and_rate(proxy, client):
    """Bytes take their time."""
    proxy.delay(0.1)
    begun = time.monotonic()
    assert says(client, b"x") == b"x" and time.monotonic() - begun >= 0.2
    proxy.heal()
    proxy.limit(10000)
    begun = time.monotonic()
    assert says(client, bytes(2000)) == bytes(2000) and time.monotonic() - begun >= 0.2


def test_blackhole(proxy, client):
    """Nothing passes; when it is over, what was on its way comes."""
    proxy.blackhole()
    client.sendall(b"into")
    assert silent(client)
    proxy.heal()
    assert client.recv(10) == b"into"


def test_one_way(proxy, client):
    """A hole in one direction."""
    before = proxy.flows[0].halves[UP].bytes
    proxy.blackhole(up=False)
    client.sendall(b"there")
    wait_for(lambda: proxy.flows[0].halves[UP].bytes == before + 5, "it gets there")
    assert silent(client)


def test_reset_and_finish(proxy, client):
    """RST and FIN."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as other:
        assert says(other, b"x") == b"x"
        proxy.finish()
        assert other.recv(1) == b""


def test_half_open(proxy, client):
    """The server is gone, the client hears nothing."""
    proxy.half_open()
    client.sendall(b"x")
    assert silent(client) and not proxy.live()


def test_refuse(proxy, client):
    """New connections are refused, the old one goes on."""
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    assert says(client, b"x") == b"x"
    proxy.listen()
    socket.create_connection(("127.0.0.1", proxy.port)).close()


def test_greet(proxy):
    """Ends before the server says a word, and other words than the server's."""
    proxy.greet(b"220 mail\r\n", 1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        assert s.recv(100) == b"220 mail\r\n" and s.recv(100) == b""
    proxy.greet(b"", 1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        assert s.recv(100) == b""
    proxy.greet(None, 1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as s, \
            pytest.raises(ConnectionResetError):
        s.recv(100)
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        s.settimeout(10)
        assert says(s, b"x") == b"x"


def test_drop_idle(proxy, client):
    """A flow in use lives; a quiet one is dead, silently, and stays so."""
    proxy.drop_idle(0.5)
    for _ in range(5):
        holds_for(proxy.live, 0.15, "it lives")
        assert says(client, b"x") == b"x"
    wait_for(lambda: not proxy.live(), "its death")
    client.sendall(b"x")
    assert silent(client)
    proxy.heal()
    assert silent(client)


def test_close_at_age(proxy, client):
    """Closed, in use or not."""
    proxy.close_at_age(0.2)
    assert client.recv(1) == b""


def test_drop_large(proxy, client):
    """Small pieces pass, a large one never does, nor what comes behind it."""
    proxy.drop_large(1000)
    assert says(client, bytes(900)) == bytes(900)
    client.sendall(bytes(5000))
    assert silent(client)
    client.sendall(b"x")
    assert silent(client)


def test_corrupt(proxy, client):
    """One bit, once."""
    proxy.corrupt(DOWN)
    assert says(client, b"abc") == b"abb"
    assert says(client, b"abc") == b"abc"


def test_cut_after(proxy, client):
    """Reset in the middle of what it carries."""
    proxy.cut_after(10, UP)
    assert says(client, b"12345") == b"12345"
    client.sendall(b"1234567")
    with pytest.raises(ConnectionResetError):
        client.recv(10)
