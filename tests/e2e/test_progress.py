"""A wait on a terminal is shown in one line that disappears; nothing else sees it."""
import threading

import pexpect
import pytest

from causes import Relay, Speaker, begin
from faults import FaultProxy
from test_suspect import QUIET_S, Frozen, transports
from util import wait_for

ERASE = "\r\x1b[K"


class Slow(Speaker):
    """A server whose answer never comes."""

    def __init__(self, box, **options):
        super().__init__(hold=True)
        box.host("slow", self, **{"ConnectTimeout": 2, **options})
        box.start_daemon()


class Held(Relay):
    """A relay that begins once it is let."""

    def __init__(self, port):
        self.go = threading.Event()
        super().__init__(port)

    def serve(self):
        self.go.wait()
        super().serve()


@pytest.mark.core
def test_login_that_waits(bare):
    """Shown while the server is silent, counted up, and gone before the words of the failure."""
    slow = Slow(bare)
    term = bare.spawn("slow", "true")
    term.expect_exact(f"\rconnecting to slow (127.0.0.1:{slow.port}): key exchange")
    term.expect(r", \d s\x1b\[K")
    term.expect_exact(ERASE + "hawser: ")
    term.expect(pexpect.EOF)
    assert b"connecting to" not in term.before
    assert term.wait() == 255


@pytest.mark.parametrize("how", ["quiet", "switched off", "dumb", "no terminal"])
def test_not_shown(bare, how):
    """-q, HAWSER_PROGRESS=no, a terminal that cannot erase, and scripts see nothing of it."""
    Slow(bare, ConnectTimeout=1)
    if how == "no terminal":
        result = bare.run("slow", "true")
        assert "connecting to" not in result.err and "\r" not in result.err, result
        return
    env = {"switched off": {"HAWSER_PROGRESS": "no"}, "dumb": {"TERM": "dumb"}}.get(how)
    term = bare.spawn(*(["-q"] if how == "quiet" else []), "slow", "true", env=env)
    term.expect(pexpect.EOF)
    assert b"connecting to" not in term.before and b"\x1b[K" not in term.before


def test_narrow_terminal(bare):
    """It never takes more than one line less one column."""
    Slow(bare)
    term = bare.spawn("slow", "true", dimensions=(24, 30))
    term.expect(r"\r(connecting to [^\r\x1b]*)\x1b\[K")
    assert len(term.match[1]) == 29
    term.expect(pexpect.EOF)


def test_fast_login(box):
    """What takes no half second shows nothing; the command's output is all there is."""
    term = box.spawn("h", "echo out; sleep 1; echo end")
    term.expect(pexpect.EOF)
    assert term.before == b"out\r\nend\r\n"


def test_question(bare):
    """The line is gone while a person is asked, and the answer goes on."""
    sshd = bare.server()
    bare.trust(sshd)
    key = bare.keys.make("id_asked", passphrase="correct")
    sshd.authorized.write_text((bare.keys.dir / "id_asked.pub").read_text())
    bare.host("h", sshd, IdentityFile=key, IdentitiesOnly="yes")
    bare.start_daemon()
    term = bare.spawn("h", "echo in")
    term.expect("passphrase[^:]*: ")
    assert term.expect([r"connecting to", pexpect.TIMEOUT], timeout=1) == 1
    term.sendline("correct")
    term.expect_exact("in\r\n")
    term.expect(pexpect.EOF)
    assert term.wait() == 0


def test_interrupted(bare):
    """^C ends it, and the line is not left behind."""
    Slow(bare, ConnectTimeout=30)
    term = bare.spawn("slow", "true")
    term.expect_exact("connecting to slow")
    term.sendintr()
    term.expect(pexpect.EOF)
    assert term.before.endswith(ERASE.encode()), term.before


def test_standard_output_elsewhere(bare):
    """A pipe gets the command's bytes only, whatever the terminal shows."""
    sshd = bare.server()
    bare.trust(sshd)
    relay = Held(sshd.port)
    bare.host("h", relay, HostKeyAlias=f"[127.0.0.1]:{sshd.port}")
    bare.start_daemon()
    term = bare.spawn("-c", " ".join(bare.command("h", "echo out")) + " | od -c | head -1",
                      program="/bin/sh")
    term.expect_exact(f"connecting to h (127.0.0.1:{relay.port}): key exchange")
    relay.go.set()
    term.expect_exact(ERASE)
    term.expect(r"0000000\s+o\s+u\s+t\s+\\n")
    term.expect(pexpect.EOF)


def test_slow_configuration(bare):
    """ssh -G takes its time."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.config.write_text('Match exec "sleep 2"\n  Compression no\n' + bare.config.read_text())
    bare.start_daemon()
    term = bare.spawn("h", "echo in")
    term.expect_exact("reading the configuration for h")
    term.expect_exact(ERASE + "in\r\n")
    term.expect(pexpect.EOF)


@pytest.mark.parametrize("quiet", [False, True])
def test_held_connection_that_is_silent(warm, quiet):
    """The request was sent, or what is held is asked first: neither has an answer yet."""
    if quiet:
        wait_for(lambda: transports(warm)[0]["idle_s"] > QUIET_S, "quiet time", 20)
    with Frozen(warm.sshd):
        term = warm.spawn("h", "echo in")
        term.expect("asking .* whether the connection still works" if quiet else
                    "waiting for .* to answer the request")
    term.expect_exact(ERASE + "in\r\n")
    term.expect(pexpect.EOF)


def test_other_logins_come_first(bare):
    """So many are under way at the server as it may be asked for at once."""
    server = bare.server()
    bare.trust(server)
    with FaultProxy(server.port) as proxy:
        bare.host("h", proxy, HostKeyAlias=f"[127.0.0.1]:{server.port}")
        bare.start_daemon()
        proxy.delay(0.4)
        others = [bare.popen("-S", "none", "h", "echo on") for _ in range(8)]
        wait_for(lambda: len([t for t in transports(bare) if t["state"] != "ready"]) == 8, "them")
        term = bare.spawn("-S", "none", "h", "echo in")
        term.expect_exact("waiting for other logins at 127.0.0.1")
        proxy.delay(0)
        term.expect_exact("in\r\n")
        term.expect(pexpect.EOF)
        assert [p.wait(30) for p in others] == [0] * 8


def test_session_limit(bare):
    """All sessions that the server allows are in use: said so, until one ends."""
    bare.daemon_conf(transports=1)
    sshd = bare.server(MaxSessions=2)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    held = [begin(bare, "h") for _ in range(2)]
    term = bare.spawn("h", "echo in")
    term.expect_exact("waiting for one of 2 sessions")
    held[0].kill()
    term.expect_exact(ERASE + "in\r\n")
    term.expect(pexpect.EOF)
    assert term.wait() == 0
