"""Forwards under servers and clients that mean no good."""
import contextlib
import socket
import struct
import subprocess

import pytest

from daemon import BIN
from forwarding import Server, connect, echo, exactly, exchange
from util import die_with_parent, fd_targets, free_port


def rude_server(box, kind):
    """Gives host "h" a server of that kind; its process."""
    server = subprocess.Popen([BIN.parent / "tests/rude_sshd", box.keys.dir / "host_ed25519", kind],
                              stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    box.clients.append(server)
    port = int(server.stdout.readline())
    box.known_hosts.write_text(f"[127.0.0.1]:{port} {box.keys.host_public()}\n")
    box.hosts["h"] = {"HostName": "127.0.0.1", "Port": port, "User": "any",
                      "IdentityFile": box.keys.user, "UserKnownHostsFile": box.known_hosts}
    box._write_config()
    box.start_daemon()
    return server


def number(line, word):
    found, value = line.split()
    assert found == word, line
    return int(value)


def test_no_descriptor_for_a_socks_client(cold):
    """One that was let in, and whose tunnel then finds no descriptor, ends alone."""
    cold.start_daemon()
    assert cold.ok("h", "true") == ""
    pid = cold.daemon_pid()
    port = free_port()
    with Server(echo) as server:
        client = cold.popen("-N", "-D", str(port), "h")
        with connect(port) as c:
            c.sendall(b"\5\1\0")
            assert exactly(c, 2) == b"\5\0"
            used = fd_targets(pid)
            lowest = next(n for n in range(len(used) + 1) if n not in used)
            before = subprocess.run(["prlimit", "--nofile", "--noheadings", "-o", "SOFT",
                                     "--pid", str(pid)], check=True, capture_output=True,
                                    text=True).stdout.strip()
            subprocess.run(["prlimit", f"--nofile={lowest}:", "--pid", str(pid)], check=True)
            c.sendall(b"\5\1\0\1" + socket.inet_aton("127.0.0.1") +
                      struct.pack(">H", server.port))
            assert c.recv(10) == b""
        subprocess.run(["prlimit", f"--nofile={before}:", "--pid", str(pid)], check=True)
        with connect(port) as c:
            c.sendall(b"\4\1" + struct.pack(">H", server.port) +
                      socket.inet_aton("127.0.0.1") + b"\0")
            assert exactly(c, 8)[1] == 90
            assert exchange(c) == b"hello"
        client.terminate()
        client.wait(20)


def test_server_that_closes_nothing(bare):
    """Connections whose end the server does not confirm are not gathered without limit."""
    server = rude_server(bare, "crowd")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        client = bare.popen("-N", "-R", f"{free_port()}:127.0.0.1:{nobody.getsockname()[1]}", "h")
        taken = number(server.stdout.readline(), "taken")
    assert 100 < taken < 3000, taken
    assert client.poll() is None
    client.terminate()
    client.wait(20)


@contextlib.contextmanager
def reader_that_stops():
    """Its connections stand, and nobody reads from them."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as s:
        yield s.getsockname()[1]


@contextlib.contextmanager
def never_connected():
    """A port that answers nothing: its queue is full."""
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            c = stack.enter_context(socket.socket())
            c.setblocking(False)
            c.connect_ex(s.getsockname())
        yield s.getsockname()[1]


@pytest.mark.parametrize("target", [reader_that_stops, never_connected])
def test_server_that_goes_around_its_window(bare, target):
    """What a reader does not take is held back by the window, whatever tricks the server knows."""
    server = rude_server(bare, "spill")
    with target() as port:
        client = bare.popen("-N", "-R", f"{free_port()}:127.0.0.1:{port}", "h")
        sent = number(server.stdout.readline(), "sent")
        assert sent < 16 * 1024 * 1024, sent
        assert client.poll() is None
        client.terminate()
        client.wait(20)


def test_server_that_never_answers(bare):
    """Asked to listen, it says something else and nothing more: keepalives notice."""
    rude_server(bare, "mute")
    result = bare.run("-N", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2",
                      "-R", f"{free_port()}:127.0.0.1:1", "h", timeout=20)
    assert result.status == 255 and "answered none of the last 2 keepalives" in result.err, result
