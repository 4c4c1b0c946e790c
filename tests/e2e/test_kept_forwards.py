"""Forwards whose client has left (-O forward), and those of -N, while their connection is away:
with whose options they come back, and what ends them."""
import contextlib
import re
import socket
import time

import pytest

from faults import FaultProxy
from forwarding import Server, echo
from test_back import away_from_its_port, reaches, taken, transports
from test_suspect import Frozen, doubt
from util import free_port, holds_for, read_text, wait_for


def listens(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port), 2):
        return True
    return False


def keep(box, where, *words):
    """A forward that leads to where, kept by the daemon."""
    kind, port = words[-2:]
    return box.ok("-O", "forward", *words[:-2], kind, f"{port}:127.0.0.1:{where.port}", "h")


def lose(box):
    """The connection is lost, and its server away: it waits for another try."""
    before = read_text(box.daemon_log).count("next try in")
    box.sshd.stop()
    wait_for(lambda: read_text(box.daemon_log).count("next try in") > before, "the next try")


@pytest.mark.core
def test_options_of_each(warm):
    """Each comes back with its own options: one with -g does not open those that were asked for
    without it."""
    wide, narrow, last = free_port(), free_port(), free_port()
    with Server(echo) as server:
        keep(warm, server, "-g", "-L", wide)
        keep(warm, server, "-L", narrow)
        keep(warm, server, "-o", "GatewayPorts=yes", "-L", last)
        warm.sshd.cut()
        wait_for(lambda: "forwards stand again" in read_text(warm.daemon_log), "they are back", 20)
        assert reaches(wide) and reaches(narrow) and reaches(last)
        assert listens("127.0.0.2", wide) and listens("127.0.0.2", last)
        assert not listens("127.0.0.2", narrow)


def test_chosen_port(warm):
    """A port that the server chose stays: somebody was told it."""
    with Server(echo) as server:
        port = int(keep(warm, server, "-R", 0))
        assert reaches(port)
        for _ in range(2):
            before = [t["id"] for t in transports(warm)]
            warm.sshd.cut()
            wait_for(lambda: [t["id"] for t in transports(warm)] not in ([], before), "a new one")
            wait_for(lambda: reaches(port), "the same port", 20)
        warm.ok("-O", "cancel", "-R", f"0:127.0.0.1:{server.port}", "h")
        wait_for(lambda: not reaches(port), "cancelled")


def test_closed_to_drain_then_lost(warm):
    """hawserctl close lets a session end; its connection is cut before: the forward is over."""
    port = free_port()
    with Server(echo) as server:
        client = warm.popen("h", "echo up; sleep 60")
        assert client.stdout.readline() == b"up\n"
        keep(warm, server, "-L", port)
        logins = warm.sshd.logins()
        assert warm.ctl("close", "h").status == 0
        warm.sshd.cut()
        assert client.wait(20) == 255
        holds_for(lambda: warm.sshd.logins() == logins and not reaches(port), 1.5, "it is over")


@pytest.mark.parametrize("how", ["exit", "stop"])
def test_ended_while_away(warm, how):
    """-O exit and -O stop reach forwards whose connection is away."""
    port = free_port()
    with Server(echo) as server:
        keep(warm, server, "-L", port)
        lose(warm)
        result = warm.run("-O", how, "h")
        assert result.status == 0 and "request sent" in result.err
        warm.sshd.start()
        holds_for(lambda: not transports(warm), 1.5, "nothing is opened")
        assert warm.run("-O", how, "h").status == 255
        warm.ok("h", "true")
        assert not reaches(port)


def test_cancelled_while_away(warm):
    """-O cancel, too: the one that is named, and with the last the wait."""
    first, second = free_port(), free_port()
    with Server(echo) as server:
        def cancel(port):
            result = warm.run("-O", "cancel", "-L", f"{port}:127.0.0.1:{server.port}", "h")
            return result.status, result.err
        for port in (first, second):
            keep(warm, server, "-L", port)
        lose(warm)
        assert cancel(first) == (0, "")
        warm.sshd.start()
        wait_for(lambda: reaches(second), "the other is back", 20)
        assert not reaches(first)
        lose(warm)
        assert cancel(second) == (0, "")
        status, text = cancel(second)
        assert status == 255 and "no connection" in text
        warm.sshd.start()
        holds_for(lambda: not transports(warm), 1.5, "nothing is opened")


def test_cancelled_while_tried(bare):
    """-O cancel while the server is just being asked: it does not stand afterwards."""
    port = free_port()
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    with Server(echo) as server, FaultProxy(bare.sshd.port) as proxy:
        bare.host("h", proxy, HostKeyAlias=f"[127.0.0.1]:{bare.sshd.port}")
        bare.start_daemon()
        bare.ok("h", "true")
        keep(bare, server, "-R", port)

        def asked():
            return read_text(bare.daemon_log).count(f"connections from LOCALHOST:{port}")
        before = asked()
        proxy.delay(0.7)
        proxy.reset()
        wait_for(lambda: asked() > before, "the server is asked", 30)
        result = bare.run("-O", "cancel", "-R", f"{port}:127.0.0.1:{server.port}", "h")
        assert (result.status, result.err) == (0, "")
        wait_for(lambda: "forwards stand again" in read_text(bare.daemon_log), "the answer", 20)
        wait_for(lambda: not reaches(port), "it was given back")
        holds_for(lambda: not reaches(port), 1, "it stays away")


def test_closed_while_its_port_is_taken(warm):
    """hawserctl close --force ends an -N that waits for its port on a connection that stands."""
    port = free_port()
    with Server(echo) as server:
        client = warm.popen("-N", "-R", f"{port}:127.0.0.1:{server.port}", "h")
        wait_for(lambda: reaches(port), "the forward")
        with away_from_its_port(warm, client, port):
            assert warm.ctl("close", "h", "--force").status == 0
            assert client.wait(20) == 255
        assert b"was closed on request" in client.stderr.read()
        holds_for(lambda: not transports(warm), 1, "nothing is opened")


def test_impostor(bare):
    """-N whose server comes back with another host key: nothing is forwarded, and the next loss is
    told as the first was."""
    port = free_port()
    bare.sshd = bare.server(HostKeys=("ed25519",))
    bare.trust(bare.sshd, kinds=("ed25519",))
    bare.host("h", bare.sshd, StrictHostKeyChecking="no")
    bare.start_daemon()
    with Server(echo) as server:
        client = bare.popen("-N", "-L", f"{port}:127.0.0.1:{server.port}", "h")
        wait_for(lambda: reaches(port), "the forward")
        bare.sshd.stop()
        bare.sshd.options["HostKey"] = str(bare.keys.make("id_impostor"))
        bare.sshd.start()
        told = []
        while not told or b"again" not in told[-1]:
            told.append(client.stderr.readline())
            assert told[-1], told
        assert any(b"forwarding is disabled" in line for line in told)
        assert b"the forwards stand" not in told[-1] and not reaches(port)
        bare.sshd.cut()
        assert b"reconnecting" in client.stderr.readline()
        client.terminate()
        client.wait(20)


def test_silent_beside_good(warm):
    """-O forward goes to the connection that answers, not to one that is silent."""
    port = free_port()
    client = warm.popen("h", "echo up; sleep 60")
    assert client.stdout.readline() == b"up\n"
    with Server(echo) as server, Frozen(warm.sshd):
        doubt(warm)
        warm.ok("h", "true")
        assert len(transports(warm)) == 2
        keep(warm, server, "-R", port)
        assert reaches(port)


def test_asked_right_after_a_try(warm):
    """A request that comes just after a try has failed waits a second, not for the next try."""
    port = free_port()

    def far_off():
        waits = re.findall(r"next try in ([0-9.]+) s", read_text(warm.daemon_log))
        return waits and float(waits[-1]) > 5
    with Server(echo) as server:
        keep(warm, server, "-L", port)
        warm.sshd.stop()
        wait_for(far_off, "tries are far between", 40)
        warm.sshd.start()
        begun = time.monotonic()
        warm.ok("h", "true")
        assert time.monotonic() - begun < 4.5


def test_keep_beside_a_login(bare):
    """keep = yes holds where another login was under way when the connection ended, and nobody
    waits for that any more."""
    folder = bare.dir / "conf/hawser"
    folder.mkdir()
    (folder / "hawser.conf").write_text("[host h]\nkeep = yes\n")
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    user = bare.popen("h", "echo up; sleep 60")
    assert user.stdout.readline() == b"up\n"
    with Frozen(bare.sshd), bare.sshd.stopped():
        doubt(bare)
        client = bare.popen("h", "true")
        wait_for(lambda: len(transports(bare)) == 2, "another login", 20)
        bare.sshd.cut()
        wait_for(lambda: len(transports(bare)) == 1, "the first has ended", 20)
        client.terminate()
        client.wait(20)
    wait_for(lambda: [t for t in transports(bare) if t["state"] == "ready"], "kept", 30)


def asked_for(box, port):
    """So often the server was asked for it."""
    return read_text(box.daemon_log).count(f"connections from LOCALHOST:{port}")


def test_cancelled_while_it_is_missing_and_asked_for(warm):
    """Asked for anew while it waits for another try: a cancel takes both away."""
    port = free_port()
    with Server(echo) as server:
        words = "-R", f"{port}:127.0.0.1:{server.port}", "h"
        keep(warm, server, "-R", port)
        lose(warm)
        with wait_for(lambda: taken(port), "the port"):
            warm.sshd.start()
            wait_for(lambda: "to free a port" in read_text(warm.daemon_log), "it is missing", 30)
            before = asked_for(warm, port)
            wait_for(lambda: asked_for(warm, port) > before, "another try", 30)
        wait_for(lambda: warm.run("-O", "forward", *words).status == 0, "it stands")
        assert reaches(port)
        result = warm.run("-O", "cancel", *words)
        assert (result.status, result.err) == (0, "")
        wait_for(lambda: not listens("127.0.0.1", port), "its end")
        holds_for(lambda: not listens("127.0.0.1", port), 3, "it does not come back")


@pytest.fixture
def slow(proxied):
    """Its server is reached through a proxy that can delay."""
    proxied.ok("h", "true")
    return proxied


def both_ask(box, port):
    """For the same, the second while the first waits for the server."""
    words = "-O", "forward", "-R", f"{port}:127.0.0.1:1", "h"
    box.proxy.delay(0.7)
    first = box.popen(*words)
    wait_for(lambda: asked_for(box, port), "the server is asked")
    second = box.run(*words)
    out, _ = first.communicate(timeout=20)
    box.proxy.delay(0)
    return first.returncode, out.decode(), second.status, second.text


def test_asked_for_while_a_cancel_waits(slow):
    """A cancel waits for the end of a try; who asks for it meanwhile gets it."""
    port = free_port()
    with Server(echo) as server:
        words = "-R", f"{port}:127.0.0.1:{server.port}", "h"
        keep(slow, server, "-R", port)
        before = asked_for(slow, port)
        slow.proxy.delay(0.7)
        slow.proxy.reset()
        wait_for(lambda: asked_for(slow, port) > before, "the server is asked", 30)
        assert [slow.run("-O", what, *words).status for what in ("cancel", "forward")] == [0, 0]
        slow.proxy.delay(0)
        wait_for(lambda: "stand again" in read_text(slow.daemon_log), "the end of the try")
        holds_for(lambda: listens("127.0.0.1", port), 1, "it stands")
        assert reaches(port)


def test_two_ask_for_a_port_that_is_taken(slow):
    """Neither is told that it stands."""
    port = free_port()
    with taken(port):
        first, _, second, _ = both_ask(slow, port)
    assert (first, second) == (255, 255)


def test_two_ask_for_any_port(slow):
    """Both are told which one it is."""
    first, one, second, other = both_ask(slow, 0)
    assert (first, second) == (0, 0) and one == other and int(one) > 0


def test_cancel_on_a_connection_that_drains(warm):
    """It takes no new sessions, and has its forwards until it ends."""
    port = free_port()
    with Server(echo) as server:
        client = warm.popen("h", "echo up; sleep 60")
        assert client.stdout.readline() == b"up\n"
        keep(warm, server, "-L", port)
        assert warm.ctl("close", "h").status == 0
        assert reaches(port)
        result = warm.run("-O", "cancel", "-L", f"{port}:127.0.0.1:{server.port}", "h")
        assert (result.status, result.err) == (0, "")
        assert not reaches(port) and client.poll() is None
        client.terminate()


def test_on_a_further_connection(bare):
    """One that was opened for the session limit is held no shorter when it has a kept forward."""
    bare.sshd = bare.server(MaxSessions="1")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    port = free_port()
    with Server(echo) as server:
        first, second, third = [bare.popen("h", f"echo up; exec sleep 30{i}") for i in range(3)]
        for client in first, second, third:
            assert client.stdout.readline() == b"up\n"
        keep(bare, server, "-L", port)
        assert len(transports(bare)) == 3
        third.terminate()
        wait_for(lambda: [t for t in transports(bare) if t["sessions"] == 0], "one is idle")
        bare.sshd.cut_what_runs("300")
        assert first.wait(20) == 255
        wait_for(lambda: reaches(port), "the forward is back", 20)
        assert len(transports(bare)) == 2
        holds_for(lambda: len(transports(bare)) == 2, 33, "it stays")
        assert reaches(port)
        second.terminate()
