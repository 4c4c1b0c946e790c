"""Forwards under servers and clients that mean no good."""
import socket
import struct
import subprocess

from forwarding import Server, connect, echo, exactly, exchange
from util import fd_targets, free_port


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
