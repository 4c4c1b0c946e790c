"""A lost connection comes back: for requests that wait, for forwards, for what is to be kept."""
import contextlib
import json
import re
import socket
import subprocess
import time

import pytest

from faults import FaultProxy
from forwarding import Server, echo
from test_suspect import Frozen, doubt
from util import free_port, holds_for, read_text, wait_for


def transports(box):
    return json.loads(box.ctl("list", "--json").text)["items"]


def reaches(port):
    """Through a forward to a server that echoes."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as c:
        c.settimeout(2)
        c.sendall(b"hello")
        return c.recv(5) == b"hello"
    return False


def taken(port):
    """Somebody else's listeners on the port, IPv4 and IPv6; None while it is not free."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        stack.enter_context(socket.create_server(("127.0.0.1", port)))
        stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
        return stack.pop_all()
    return None


@contextlib.contextmanager
def away_from_its_port(box, client, port):
    """The server of a -N -R comes back, and somebody else has its port."""
    box.sshd.stop()
    with wait_for(lambda: taken(port), "the port is free"):
        box.sshd.start()
        assert b"reconnecting" in client.stderr.readline()
        assert f"waiting for the server to free port {port}" in client.stderr.readline().decode()
        yield


def waiting_request(box):
    """A request that waits for the verdict on a connection which is dead, of a server that has
    gone."""
    with Frozen(box.sshd):
        box.sshd.stop(cut=False)
        doubt(box)
        client = box.popen("h", "echo back")
        wait_for(lambda: "(refused)" in read_text(box.daemon_log), "a try that is refused", 10)
    return client


@pytest.mark.core
def test_waiting_request(warm):
    """It waits on while the server is away, which is listed, and runs when that is back."""
    client = waiting_request(warm)
    row, = wait_for(lambda: [t for t in transports(warm) if t["state"] == "waiting"], "the wait")
    assert row["id"] is None and row["destination"] == "h" and row["queued"] == 1
    assert re.match(r"the next try, in \d+\.\d s: connect to .* refused", row["waits_for"])
    for words in ("list",), ("status", "h"):
        wait_for(lambda words=words: re.search("the next try, in .*refused", warm.ctl(*words).text),
                 "all of it, in words")
    assert client.poll() is None
    warm.sshd.start()
    out, err = client.communicate(timeout=30)
    assert out == b"back\n" and client.returncode == 0, err
    assert len(transports(warm)) == 1


def test_reconnect_off(bare):
    """reconnect = 0: it fails at once, with the cause."""
    bare.daemon_conf(reconnect=0)
    bare.sshd = bare.server()
    bare.host("h", bare.sshd)
    bare.trust(bare.sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    client = waiting_request(bare)
    out, err = client.communicate(timeout=30)
    assert out == b"" and client.returncode == 255 and b"refused" in err


def test_new_request_fails_at_once(warm):
    """Who comes when the server is away already hears so, as from ssh."""
    warm.sshd.stop()
    wait_for(lambda: not transports(warm), "the loss is seen")
    result = warm.run("h", "true", timeout=10)
    assert result.status == 255 and "refused" in result.err


@pytest.mark.core
def test_local_forward_returns(warm):
    """-N -L outlives its connection."""
    port = free_port()
    with Server(echo) as server:
        client = warm.popen("-N", "-L", f"{port}:127.0.0.1:{server.port}", "h")
        wait_for(lambda: reaches(port), "the forward")
        warm.sshd.cut()
        assert b"reconnecting" in client.stderr.readline()
        assert b"again; the forwards stand" in client.stderr.readline()
        assert reaches(port) and client.poll() is None
        client.terminate()
        client.wait(20)


def test_remote_forward_waits_for_its_port(warm):
    """-N -R: the server may hold the port a while yet."""
    port = free_port()
    with Server(echo) as server:
        client = warm.popen("-N", "-R", f"{port}:127.0.0.1:{server.port}", "h")
        wait_for(lambda: reaches(port), "the forward")
        with away_from_its_port(warm, client, port):
            assert client.stderr.readline().endswith(b" again\n"), "not all stand"
        assert b"the forwards stand again" in client.stderr.readline()
        assert reaches(port)
        client.terminate()
        client.wait(20)


def test_chosen_port_returns(warm):
    """-N -R 0: somebody was told which port it is."""
    with Server(echo) as server:
        client = warm.popen("-N", "-R", f"0:127.0.0.1:{server.port}", "h")
        port = int(re.search(rb"Allocated port (\d+) ", client.stderr.readline())[1])
        for _ in range(2):
            assert reaches(port)
            warm.sshd.cut()
            for words in b"reconnecting", b"Allocated port %d " % port:
                assert words in client.stderr.readline()
            while b"the forwards stand" not in client.stderr.readline():
                assert client.poll() is None
        assert reaches(port)
        client.terminate()
        client.wait(20)


def answers(path):
    """As reaches(), at a Unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as c:
        c.settimeout(2)
        c.connect(str(path))
        c.sendall(b"hello")
        return c.recv(5) == b"hello"
    return False


@pytest.mark.parametrize("kept", [False, True])
def test_unix_listener_returns(warm, kept):
    """-L /path: what is left of the old socket is no hindrance."""
    path = warm.dir / "listener"
    with Server(echo) as server:
        words = "-L", f"{path}:127.0.0.1:{server.port}", "h"
        client = warm.popen(*(("-O", "forward") if kept else ("-N",)), *words)
        wait_for(lambda: answers(path), "the forward")
        for _ in range(2):
            before = [t["id"] for t in transports(warm)]
            warm.sshd.cut()
            wait_for(lambda: [t["id"] for t in transports(warm)] not in ([], before), "a new one")
            wait_for(lambda: answers(path), "it is back", 20)
        client.terminate()
        client.wait(20)


def test_unix_listener_of_another(warm):
    """Another program listens there meanwhile: it is left in peace, the other forwards stand, and
    that is said once."""
    path, port = warm.dir / "listener", free_port()
    with Server(echo) as server:
        client = warm.popen("-N", "-L", f"{path}:127.0.0.1:{server.port}",
                            "-L", f"{port}:127.0.0.1:{server.port}", "h")
        wait_for(lambda: answers(path) and reaches(port), "the forwards")
        warm.sshd.stop()
        assert b"reconnecting" in client.stderr.readline()
        path.unlink()
        with Server(lambda sock: sock.sendall(b"other"), path=path):
            warm.sshd.start()
            assert b"cannot bind to path" in client.stderr.readline()
            assert b"a forward can't be set up yet; it is tried again" in client.stderr.readline()
            assert client.stderr.readline().endswith(b" again\n"), "not all stand"
            tries = read_text(warm.daemon_log).count("cannot bind to path")
            wait_for(lambda: read_text(warm.daemon_log).count("cannot bind to path") > tries + 1,
                     "more tries")
            assert reaches(port) and not answers(path)
        assert b"the forwards stand again" in client.stderr.readline()
        assert reaches(port) and answers(path)
        client.terminate()
        client.wait(20)


def all_on(clients):
    """Each said "on", and nothing went wrong."""
    for client in clients:
        out, _ = client.communicate(timeout=60)
        assert out == b"on\n" and client.returncode == 0, out


@pytest.fixture
def kept(bare):
    """A held connection to a host with keep = yes."""
    folder = bare.dir / "conf/hawser"
    folder.mkdir()
    (folder / "hawser.conf").write_text("[host h]\nkeep = yes\n")
    bare.sshd = bare.server()
    bare.host("h", bare.sshd)
    bare.trust(bare.sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    return bare


def test_kept(kept):
    """keep = yes: opened again although nobody asks; not once it was closed on request."""
    first = transports(kept)[0]["id"]
    kept.sshd.stop()
    wait_for(lambda: "next try in" in read_text(kept.daemon_log), "the next try")
    kept.sshd.start()
    wait_for(lambda: [t for t in transports(kept) if t["state"] == "ready" and t["id"] != first],
             "it is there again", 30)
    kept.ctl("close", "h")
    wait_for(lambda: not transports(kept), "closed")
    assert kept.sshd.logins() == 2


def slow(proxy):
    """Logins through it take so long that they would all be under way at once."""
    proxy.delay(0.05)
    return proxy


def alone(box, name):
    """A request with a connection of its own."""
    return box.popen("-S", "none", name, "echo on", stderr=subprocess.STDOUT)


def test_paced(bare):
    """Thirty logins at one server that turns away what is more than fourteen at once: eight, and
    what it has yet to count as logged in."""
    server = bare.server(MaxStartups="14:100:14")
    bare.trust(server)
    with slow(FaultProxy(server.port)) as proxy:
        bare.host("h", proxy, HostKeyAlias=f"[127.0.0.1]:{server.port}")
        bare.start_daemon()
        all_on([alone(bare, "h") for _ in range(30)])


def test_paced_behind_a_jump_host(bare):
    """The same for logins at several servers through one jump host."""
    gate, ports = bare.server(), [free_port() for _ in range(3)]
    server = bare.server(MaxStartups="14:100:14", Port=ports)
    for one in (gate, server):
        bare.trust(one)
    with slow(FaultProxy(gate.port)) as proxy:
        bare.host("gate", proxy, HostKeyAlias=f"[127.0.0.1]:{gate.port}")
        for port in ports:
            bare.host(f"h{port}", server, Port=port, ProxyJump="gate",
                      HostKeyAlias=f"[127.0.0.1]:{server.port}")
        bare.start_daemon()
        bare.ok("gate", "true")
        all_on([alone(bare, f"h{port}") for _ in range(8) for port in ports])
    assert gate.logins() == 1


def test_kept_no_longer(kept):
    """Closed between two tries: it is not opened again. Locked: not before the unlock."""
    kept.sshd.stop()
    wait_for(lambda: "next try in" in read_text(kept.daemon_log), "the next try")
    assert kept.ctl("lock").status == 0
    kept.sshd.start()
    wait_for(lambda: read_text(kept.daemon_log).count("locked:"), "the lock")
    assert kept.ctl("unlock").status == 0
    wait_for(lambda: [t for t in transports(kept) if t["state"] == "ready"], "it is back", 30)
    before = read_text(kept.daemon_log).count("next try in")
    kept.sshd.stop()
    wait_for(lambda: read_text(kept.daemon_log).count("next try in") > before, "the next try")
    wait_for(lambda: kept.ctl("close", "h").status == 0, "closed")
    kept.sshd.start()
    holds_for(lambda: not transports(kept), 1.5, "nothing is opened")


def test_server_that_drops_what_it_took(warm):
    """It takes logins and drops them at once: -N does not log in as fast as that goes."""
    client = warm.popen("-N", "h")
    wait_for(lambda: "-N" in warm.ctl("log").text or transports(warm)[0]["state"] == "ready", "up")
    begun, logins = time.monotonic(), warm.sshd.logins()

    def four_more():
        if [t for t in transports(warm) if t["state"] == "ready"]:
            warm.sshd.cut()
        return warm.sshd.logins() >= logins + 4
    wait_for(four_more, "four logins", 30)
    # The first comes at once, the others after 125, 125 and 250 ms at least.
    assert time.monotonic() - begun > 0.5
    assert client.poll() is None
    client.terminate()
    client.wait(20)


@pytest.mark.core
def test_forwards_kept_by_the_daemon(warm):
    """-O forward: no client is there any more, and they come back with their connection; closed on
    request they are gone."""
    local, remote = free_port(), free_port()
    with Server(echo) as server:
        warm.ok("-O", "forward", "-L", f"{local}:127.0.0.1:{server.port}",
                "-R", f"{remote}:127.0.0.1:{server.port}", "h")
        assert reaches(local) and reaches(remote)
        for _ in range(2):
            before = [t["id"] for t in transports(warm)]
            warm.sshd.cut()
            wait_for(lambda: [t["id"] for t in transports(warm)] not in ([], before), "a new one")
            wait_for(lambda: reaches(local) and reaches(remote), "both are back", 20)
        warm.ctl("close", "h", "--force")
        wait_for(lambda: not transports(warm), "closed")
        warm.ok("h", "true")
        holds_for(lambda: not reaches(local), 0.5, "they do not come back")


def test_kept_forward_whose_port_is_taken(warm):
    """Back on another connection, its port is somebody else's: it is tried again beside those that
    are asked for meanwhile, can be cancelled, and stands when the port is free."""
    first, second, third = free_port(), free_port(), free_port()
    with Server(echo) as server:
        def words(port):
            return "-L", f"{port}:127.0.0.1:{server.port}", "h"

        def tries():
            return read_text(warm.daemon_log).count(f"connections to LOCALHOST:{first} forwarded")
        warm.ok("-O", "forward", *words(first))
        warm.ok("-O", "forward", *words(third))
        warm.sshd.stop()
        with wait_for(lambda: taken(first), "a port"), wait_for(lambda: taken(third), "a port"):
            warm.sshd.start()
            wait_for(lambda: "to free a port" in read_text(warm.daemon_log), "it is back", 30)
            warm.ok("-O", "forward", *words(second))
            warm.ok("-O", "cancel", *words(third))
            before = tries()
            wait_for(lambda: tries() > before, "another try")
            assert reaches(second)
        wait_for(lambda: reaches(first), "it stands", 20)
        assert reaches(second) and not reaches(third)


def test_kept_forward_of_a_host_that_is_gone(warm):
    """hawserctl close ends the tries, and nothing is held any more."""
    port = free_port()
    with Server(echo) as server:
        warm.ok("-O", "forward", "-L", f"{port}:127.0.0.1:{server.port}", "h")
        warm.sshd.stop()
        wait_for(lambda: "next try in" in read_text(warm.daemon_log), "the next try")
        closed = wait_for(lambda: warm.ctl("close", "h").status == 0, "closed")
        assert closed
        warm.sshd.start()
        holds_for(lambda: not transports(warm), 1.5, "nothing is opened")
        warm.ok("h", "true")
        assert not reaches(port)


def test_kept_forward_of_an_impostor(bare):
    """The server that comes back has another host key: nothing is forwarded through it."""
    port = free_port()
    bare.sshd = bare.server(HostKeys=("ed25519",))
    bare.trust(bare.sshd, kinds=("ed25519",))
    bare.host("h", bare.sshd, StrictHostKeyChecking="no")
    bare.start_daemon()
    bare.ok("h", "true")
    with Server(echo) as server:
        bare.ok("-O", "forward", "-L", f"{port}:127.0.0.1:{server.port}", "h")
        assert reaches(port)
        bare.sshd.stop()
        other = bare.keys.make("id_impostor")
        bare.sshd.options["HostKey"] = str(other)
        bare.sshd.start()
        wait_for(lambda: "kept forwards end" in read_text(bare.daemon_log), "they end", 20)
        assert not reaches(port)
