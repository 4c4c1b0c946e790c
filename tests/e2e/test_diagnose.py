"""Causes that only the evidence tells: packets are lost in a network of this test's own, or damaged
on the way, and what the user reads names what was done to them."""
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from netns import lose
from util import read_text, wait_for


def stopped(box, name):
    for pid in box.made[name].workers():
        os.kill(pid, signal.SIGSTOP)


# name, what is lost ("up": to the server), what is run on an open connection (None: the login is
# what fails), its class, words of the text and of the hint.
LOST = [
    ("kex-down", ["down > 600"], None, "path-mtu", "in key exchange", "mtu 1280"),
    ("kex-up", ["up > 600"], None, "path-mtu", "in key exchange", "TCP_MAXSEG"),
    ("output", ["down > 1300"], "head -c 5000 /dev/zero; sleep 77", "path-mtu",
     "small packets arrive and large ones do not", "mtu 1280"),
    ("input", ["up > 1300"], "cat", "path-mtu", "small packets arrive and large ones do not",
     "mtu 1280"),
    ("hole", ["up", "down"], "sleep 77", "keepalive-timeout", "the path to it is dead",
     "check the network"),
    ("one-way", ["up"], "echo begun; sleep 1; echo more; sleep 77", "path-dead",
     "is lost on the way", "one direction"),
    # Its ClientAlive's own traffic must not pass for an answer to our keepalives.
    ("one-way-alive", ["up"], "sleep 77", "path-dead", "is lost on the way", "one direction"),
    ("hang", [], "sleep 77", "keepalive-timeout", "its sshd answers nothing",
     "look at the machine"),
]
SERVERS = {"one-way-alive": {"ClientAliveInterval": 1, "ClientAliveCountMax": 2}}


def rule(lost, port):
    """`up > 600` for nft."""
    way, _, size = lost.partition(" ")
    return (f"tcp {'dport' if way == 'up' else 'sport'} {port}" +
            (f" meta length {size}" if size else ""))


def test_lost_packets(bare, network):
    """All at once, for each takes the time of its keepalives."""
    bare.made = {}
    for name, *_ in LOST:
        bare.made[name] = bare.server(**SERVERS.get(name, {}))
        bare.trust(bare.made[name])
        bare.host(name, bare.made[name], ServerAliveInterval=1, ServerAliveCountMax=4,
                  ConnectTimeout=5)
    bare.start_daemon()
    for name, _, command, *_ in LOST:
        if command is not None:
            bare.ok(name, "true")
    # The server must have something to repeat.
    running = {"one-way": bare.popen("one-way", LOST[5][2], stderr=subprocess.PIPE)}
    assert running["one-way"].stdout.readline() == b"begun\n"
    lose(*(rule(one, bare.made[name].port) for name, lost, *_ in LOST for one in lost))
    stopped(bare, "hang")
    for name, _, command, *_ in LOST:
        if name not in running:
            running[name] = bare.popen(name, command or "true", stdin=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
    os.set_blocking(running["input"].stdin.fileno(), False)
    os.write(running["input"].stdin.fileno(), bytes(65536))
    try:
        for name, _, _, cls, text, hint in LOST:
            running[name].wait(60)
            told = running[name].stderr.read().decode()
            port = bare.made[name].port
            ended = re.findall(rf":{port} transport \d+: ended \(([\w-]+)\)",
                               read_text(bare.daemon_log))
            assert running[name].returncode == 255, (name, told)
            assert cls in ended, (name, ended, told)
            assert text in told and hint in told, (name, told)
    finally:
        for pid in bare.made["hang"].workers():
            os.kill(pid, signal.SIGCONT)


def test_server_gave_up(bare, network):
    """The path is back when the server has closed its side."""
    sshd = bare.server(ClientAliveInterval=1, ClientAliveCountMax=1)
    bare.trust(sshd)
    bare.host("h", sshd, ServerAliveInterval=1, ServerAliveCountMax=30)
    bare.start_daemon()
    proc = bare.popen("h", "echo begun; sleep 77", stderr=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    lose(f"tcp dport {sshd.port}", f"tcp sport {sshd.port}")
    wait_for(lambda: "client not responding" in read_text(sshd.log), "the server's patience")
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    told = proc.communicate(timeout=30)[1].decode()
    assert proc.returncode == 255 and "given it up" in told, told
    assert "ClientAliveInterval" in told and "ended (server-gave-up)" in read_text(bare.daemon_log)


class Damage:
    """A relay to a server that damages one byte, in one direction, once told to."""

    def __init__(self, port, way):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server_port, self.way, self.due = port, way, False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.server_port))
            for a, b, way in (client, server, "up"), (server, client, "down"):
                threading.Thread(target=self.relay, args=(a, b, way), daemon=True).start()

    def relay(self, a, b, way):
        try:
            while data := bytearray(a.recv(65536)):
                if self.due and way == self.way:
                    self.due = False
                    data[-1] ^= 0x55  # of a MAC
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
                                    "aes256-ctr"])
def test_damaged_packet_from_the_server(bare, cipher):
    """libssh's words for it differ by cipher; the class does not."""
    sshd = bare.server()
    damage = Damage(sshd.port, "down")
    bare.known_hosts.write_text(f"[127.0.0.1]:{damage.port} {bare.keys.host_public()}\n")
    bare.host("h", sshd, Port=damage.port, Ciphers=cipher)
    bare.start_daemon()
    proc = bare.popen("h", "echo begun; cat", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    damage.due = True
    told = proc.communicate(b"x", timeout=20)[1].decode()
    assert proc.returncode == 255 and "a packet arrived damaged" in told, told
    assert "ended (corruption)" in read_text(bare.daemon_log)


def test_damaged_packet_to_the_server(bare):
    """sshd hangs up without a word: where to look is all that can be told."""
    sshd = bare.server()
    damage = Damage(sshd.port, "up")
    bare.known_hosts.write_text(f"[127.0.0.1]:{damage.port} {bare.keys.host_public()}\n")
    bare.host("h", sshd, Port=damage.port)
    bare.start_daemon()
    proc = bare.popen("h", "echo begun; cat", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    damage.due = True
    told = proc.communicate(b"x", timeout=20)[1].decode()
    assert proc.returncode == 255 and "without a word" in told, told
    assert "damaged on the way: its log" in told
    wait_for(lambda: "message authentication code incorrect" in read_text(sshd.log),
             "the server's own word")
