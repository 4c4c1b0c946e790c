"""What forwards lead to and come from: small servers and clients on loopback."""
import socket
import struct
import threading

from util import SLOW, free_port, wait_for


class Server:
    """Listens on a port of 127.0.0.1 (or at a path) and gives each connection to handler(sock)."""

    def __init__(self, handler, path=None, family=socket.AF_INET, port=0):
        self.handler, self.path = handler, path
        self.sock = socket.socket(socket.AF_UNIX if path else family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(str(path) if path else
                       ("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
        self.sock.listen(200)
        self.port = None if path else self.sock.getsockname()[1]
        self.open = []
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            self.open.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self.handler(conn)
        except OSError:
            pass
        finally:
            self.open.remove(conn)
            conn.close()

    def close(self):
        # shutdown() wakes the thread in accept()
        for sock in [self.sock, *self.open]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def lines(result):
    """What a client said on stderr, line by line, without the \\r that ssh puts there."""
    return [line.rstrip("\r") for line in result.err.splitlines()]


def echo(sock):
    """Sends back what comes, and the end too."""
    while data := sock.recv(1 << 16):
        sock.sendall(data)


def try_connect(port, host="127.0.0.1"):
    try:
        return socket.create_connection((host, port), timeout=20 * SLOW)
    except OSError:
        return None


def connect(port, host="127.0.0.1"):
    """A connection to a listener that is about to come."""
    return wait_for(lambda: try_connect(port, host), f"a listener at {host} port {port}")


def connect_path(path):
    def attempt():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20 * SLOW)
        try:
            s.connect(str(path))
            return s
        except OSError:
            s.close()
            return None
    return wait_for(attempt, f"a listener at {path}")


def read_all(sock):
    """Everything up to the end; a reset is an end, too."""
    parts = []
    try:
        while data := sock.recv(1 << 16):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


def exchange(sock, data=b"hello"):
    """What comes back for these bytes, up to as many."""
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        more = sock.recv(1 << 16)
        if not more:
            break
        got += more
    return got


def reset(sock):
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def listens(port, host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        return s.connect_ex((host, port)) == 0


def ports(count):
    """Distinct free ports."""
    found = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def exactly(sock, size):
    got = b""
    while len(got) < size:
        more = sock.recv(size - len(got))
        assert more, f"the end after {got!r}"
        got += more
    return got


def socks5(sock, host, port):
    """Asks for a connection; the reply's code, or None when the other side has closed."""
    sock.sendall(b"\5\1\0")
    assert exactly(sock, 2) == b"\5\0"
    name = host.encode()
    sock.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack(">H", port))
    reply = sock.recv(10)
    return reply[1] if reply else None


def socks4(sock, host, port, user=b"me"):
    """As socks5(), by SOCKS 4 (an address) or 4a (a name)."""
    try:
        address, name = socket.inet_aton(host), b""
    except OSError:
        address, name = b"\0\0\0\1", host.encode() + b"\0"
    sock.sendall(b"\4\1" + struct.pack(">H", port) + address + user + b"\0" + name)
    reply = sock.recv(8)
    return reply[1] if reply else None
