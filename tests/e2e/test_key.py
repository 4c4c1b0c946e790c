"""What makes a connection what it is: who gets a transport of their own, and who does not."""
import json
import socket
import sys
import threading

import pytest

from agents import Agent
from util import SLOW, free_port, wait_for


@pytest.fixture
def held(box):
    """Host "h" with a held transport."""
    box.ok("h", "true")
    return box


RELAY = """
import os, select, socket
s = socket.create_connection(("127.0.0.1", PORT))
while True:
    for fd in select.select([0, s], [], [])[0]:
        data = os.read(0, 65536) if fd == 0 else s.recv(65536)
        if not data:
            raise SystemExit
        if fd == 0:
            s.sendall(data)
        else:
            os.write(1, data)
"""


def relay(path, port):
    """A program that joins its stdin and stdout with that port."""
    path.write_text(f"#!{sys.executable}\n" + RELAY.replace("PORT", str(port)))
    path.chmod(0o755)
    return path


def empty(box):
    path = box.dir / "empty"
    path.write_text("")
    return path


def command_of_key(box):
    path = box.dir / "known"
    path.write_text(f"#!/bin/sh\ncat {box.known_hosts}\n")
    path.chmod(0o755)
    return path


def of_a_certificate(box):
    return f"CertificateFile={box.keys.make('id_certified')}.pub"


@pytest.mark.parametrize("words", [
    lambda box: ["-o", f"RevokedHostKeys={empty(box)}"],
    lambda box: ["-o", f"KnownHostsCommand={command_of_key(box)}"],
    lambda box: ["-o", of_a_certificate(box)],
    lambda box: ["-o", f"ProxyCommand={relay(box.dir / 'way', box.sshd.port)}"],
    lambda box: ["-m", "hmac-sha2-512"],
    lambda box: ["-o", "KexAlgorithms=ecdh-sha2-nistp256"],
    lambda box: ["-o", "CheckHostIP=yes"],
    lambda box: ["-o", "RequiredRSASize=2048"],
    lambda box: ["-b", "127.0.0.1"],
    lambda box: ["-4"],
], ids=["revoked", "command", "certificate", "proxy", "mac", "kex", "ip", "rsa", "bind", "inet"])
def test_own_transport(held, words):
    """Options of the connection: another login, and both are held."""
    words = words(held)
    for _ in range(2):
        assert held.ok(*words, "h", "echo in") == "in\n"
        assert held.ok("h", "echo in") == "in\n"
    assert held.sshd.logins() == 2


@pytest.mark.parametrize("words", [
    ["-o", "ConnectTimeout=30"], ["-o", "BatchMode=yes"], ["-o", "ServerAliveInterval=60"], ["-v"],
    ["-o", "VisualHostKey=yes"], ["-o", "HashKnownHosts=yes"], ["-o", "UpdateHostKeys=no"],
], ids=lambda words: words[-1])
def test_shared_transport(held, words):
    """Options of the session, or of the login only: the held connection will do."""
    assert held.ok(*words, "h", "echo in") == "in\n"
    assert held.sshd.logins() == 1


def test_forwards_share_the_transport(held):
    """A forward is the request's, not the connection's."""
    for words in (["-L", f"{free_port()}:127.0.0.1:9"], ["-D", str(free_port())]):
        assert held.ok(*words, "h", "echo in") == "in\n"
    assert held.sshd.logins() == 1


def two_folders(box):
    folders = [box.dir / "one", box.dir / "two"]
    for folder in folders:
        folder.mkdir()
    return folders


def test_revoked_keys_of_the_directory(held):
    """RevokedHostKeys by a relative name: another directory has another file."""
    one, two = two_folders(held)
    (one / "revoked").write_text("")
    (two / "revoked").write_text("".join(
        held.keys.host_public(kind) + "\n" for kind in ("ed25519", "ecdsa", "rsa")))
    words = ("-o", "RevokedHostKeys=revoked", "h", "echo in")
    assert held.ok(*words, cwd=one) == "in\n"
    result = held.run(*words, cwd=two)
    assert (result.status, result.out) == (255, b""), result
    assert held.ok(*words, cwd=one) == "in\n"
    assert held.sshd.logins() == 2


@pytest.mark.parametrize("command", ["./way", "env HW_X=1 ./way", "sub/../way"])
def test_proxy_command_of_the_directory(held, command):
    """ProxyCommand by a relative name: another directory has another program."""
    other = held.server()
    held.trust(other)
    ports = []
    for folder, server in zip(two_folders(held), (held.sshd, other)):
        (folder / "sub").mkdir()
        relay(folder / "way", server.port)
        words = ("-o", f"ProxyCommand={command}", "h", "echo $SSH_CONNECTION")
        for _ in range(2):
            ports.append(int(held.ok(*words, cwd=folder).split()[3]))
    assert ports == [held.sshd.port] * 2 + [other.port] * 2
    assert (held.sshd.logins(), other.logins()) == (2, 1)


def test_proxy_command_elsewhere_is_shared(held):
    """One that names no place of the directory is one and the same everywhere."""
    words = ("-o", f"ProxyCommand={relay(held.dir / 'way', held.sshd.port)}", "h", "echo in")
    for folder in two_folders(held):
        assert held.ok(*words, cwd=folder) == "in\n"
    assert held.sshd.logins() == 2


def test_known_hosts_command_of_the_name(held):
    """A KnownHostsCommand that is told the name that was typed knows one name, and not another."""
    path = held.dir / "known"
    path.write_text(f'#!/bin/sh\n[ "$1" != good ] || cat {held.known_hosts}\n')
    path.chmod(0o755)
    for name in ("good", "bad"):
        held.host(name, held.sshd, UserKnownHostsFile="/dev/null",
                  KnownHostsCommand=f"{path} %n")
    assert held.ok("good", "echo in") == "in\n"
    result = held.run("bad", "echo in")
    assert (result.status, result.out) == (255, b""), result


def test_identity_agent_of_the_directory(held):
    """IdentityAgent by a relative name is looked for where the client stands."""
    folder = held.dir / "one"
    folder.mkdir()
    Agent(held, held.keys.user, where=folder / "agent")
    held.host("a", held.sshd, IdentityFile="/dev/null", IdentityAgent="agent")
    result = held.run("-o", "BatchMode=yes", "a", "echo in", cwd=held.dir)
    assert result.status == 255, result
    assert held.ok("-o", "BatchMode=yes", "a", "echo in", cwd=folder) == "in\n"


# ---- those who left --------------------------------------------------------------------------
def listed(box):
    return json.loads(box.ctl("list", "--json").out)["items"]


def test_login_nobody_waits_for(held):
    """The client of a login that hangs is killed: the login ends with it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held.host("silent", held.sshd, Port=silent.getsockname()[1])
        proc = held.popen("silent", "true")
        peer, _ = silent.accept()
        with peer:
            peer.settimeout(10 * SLOW)
            assert peer.recv(4) == b"SSH-"
            assert len(listed(held)) == 2
            proc.kill()
            while peer.recv(100):
                pass
        wait_for(lambda: len(listed(held)) == 1, "the login's end")


def test_login_others_wait_for(held):
    """One of two clients of a login is killed: the other has its login, and no second begins."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        held.host("slow", held.sshd, Port=door.getsockname()[1],
                  HostKeyAlias=f"[127.0.0.1]:{held.sshd.port}")
        procs = [held.popen("slow", "echo in") for _ in range(2)]
        peer, _ = door.accept()
        wait_for(lambda: [item["queued"] for item in listed(held)
                          if item["destination"] == "slow"] == [2], "both wait")
        procs[0].kill()
        wait_for(lambda: [item["queued"] for item in listed(held)
                          if item["destination"] == "slow"] == [1], "one waits")
        with peer, socket.create_connection(("127.0.0.1", held.sshd.port)) as server:
            joined = [threading.Thread(target=copy, args=pair)
                      for pair in ((peer, server), (server, peer))]
            for thread in joined:
                thread.start()
            out, err = procs[1].communicate(timeout=30 * SLOW)
            assert (procs[1].returncode, out, err) == (0, b"in\n", b"")
            held.ctl("close", "slow")
            for thread in joined:
                thread.join()


def copy(source, sink):
    """Bytes from one socket to another, until an end."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_held_of_a_longer_way(bare, count):
    """ControlPersist=no holds for every host on the way."""
    before = None
    for name in [f"j{i}" for i in range(count)] + ["far"]:
        server = bare.server()
        bare.trust(server)
        bare.host(name, server, ProxyJump=before)
        before = name
    bare.start_daemon()
    assert bare.ok("-o", "ControlPersist=no", "far", "echo in") == "in\n"
    wait_for(lambda: listed(bare) == [], "nothing held")
