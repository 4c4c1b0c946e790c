"""ssh -O on the held connection, kept forwards, and what a person asks for by an escape: by the
protocol, since what the client makes of its command line is tested elsewhere."""
import json
import os

import pytest

import wire
from forwarding import connect, exchange, listens, ports
from util import free_port, holds_for, wait_for


class Asked:
    """What an operation answered: status, the lines, and what it printed."""

    def __init__(self, box, operation, *args, host="h"):
        out, given = os.pipe()
        with wire.connect(box.socket) as w:
            w.send_request(["-F", str(box.config), *args], host, operation=operation,
                           streams=[wire.NULL, given, wire.NULL], env=box.env)
            os.close(given)
            (_, _, body), before = w.recv_until(wire.EXIT)
        self.status, self.error = body.get("status"), body.get("error")
        self.lines = [m[2]["text"] for m in before if m[0] == wire.NOTICE]
        with open(out, "rb") as pipe:
            self.out = pipe.read()

    def __repr__(self):
        return f"<status {self.status} {self.error} {self.lines} {self.out!r}>"


@pytest.mark.core
def test_check_exit_stop(box):
    """The words and statuses of ssh, and what becomes of the connection."""
    for operation in ("check", "exit", "stop", "forward", "cancel"):
        asked = Asked(box, operation)
        assert asked.status == 255, asked
        assert asked.lines[0].startswith("hawser: no connection to "), asked
    assert box.ok("h", "true") == ""
    asked = Asked(box, "check")
    assert asked.status == 0 and asked.lines == [f"Master running (pid={box.daemon_pid()})"], asked
    # Another destination's is not this one's.
    assert Asked(box, "check", "-oHostKeyAlias=other").status == 255
    running = box.popen("h", "cat", stdin=-1)
    running.stdin.write(b"x\n")
    running.stdin.flush()
    assert running.stdout.read(2) == b"x\n"
    asked = Asked(box, "stop")
    assert asked.status == 0 and asked.lines == ["Stop listening request sent."], asked
    assert Asked(box, "check").status == 255  # new requests get a new connection
    running.stdin.close()
    assert running.wait(20) == 0
    assert box.ok("h", "true") == ""
    assert box.sshd.logins() == 2
    running = box.popen("h", "cat", stdin=-1)
    running.stdin.write(b"x\n")
    running.stdin.flush()
    assert running.stdout.read(2) == b"x\n"
    asked = Asked(box, "exit")
    assert asked.status == 0 and asked.lines == ["Exit request sent."], asked
    assert running.wait(20) == 255
    assert Asked(box, "bogus").status == 255
    asked = Asked(box, "proxy")
    assert asked.status is None and "proxy" in asked.error


@pytest.mark.core
def test_kept_forwards(warm, echoing):
    """-O forward stays when nobody is there any more, until -O cancel; again is no error."""
    local, dynamic = ports(2)
    specs = ["-L", f"{local}:127.0.0.1:{echoing.port}", "-D", str(dynamic)]
    assert Asked(warm, "forward", *specs).status == 0
    assert Asked(warm, "forward", *specs).status == 0
    with connect(local) as c:
        assert exchange(c) == b"hello"
        taken = Asked(warm, "forward", "-L", f"{local}:127.0.0.1:1")
        assert taken.status == 255 and taken.lines[-2:] == [
            "mux_client_forward: forwarding request failed: Port forwarding failed",
            "muxclient: master forward request failed"], taken
        assert Asked(warm, "cancel", "-L", f"{local}:127.0.0.1:1").lines[0] == \
            "mux_client_forward: forwarding request failed: port not forwarded"
        assert Asked(warm, "cancel", *specs[:2]).status == 0
        wait_for(lambda: not listens(local), "the listener's end")
        assert exchange(c) == b"hello"  # connections go on, as in ssh
    assert listens(dynamic)
    asked = Asked(warm, "forward", "-R", f"0:127.0.0.1:{echoing.port}")
    port = int(asked.out)
    assert asked.status == 0 and asked.lines == [
        f"Allocated port {port} for remote forward to 127.0.0.1:{echoing.port}"], asked
    with connect(port) as c:
        assert exchange(c) == b"hello"
    assert Asked(warm, "exit").status == 0
    wait_for(lambda: not listens(dynamic) and not listens(port), "the end of the kept forwards")
    assert warm.sshd.logins() == 1


def test_kept_forwards_of_the_configuration(warm, echoing):
    """As ssh: those of the configuration are meant too."""
    port = free_port()
    warm.host("f", warm.sshd, LocalForward=f"{port} 127.0.0.1:{echoing.port}")
    assert Asked(warm, "forward", host="f").status == 0
    with connect(port) as c:
        assert exchange(c) == b"hello"
    assert Asked(warm, "cancel", host="f").status == 0
    wait_for(lambda: not listens(port), "the listener's end")


def test_kept_forwards_do_not_hold(cold, echoing):
    """A connection with nothing but a kept forward is idle; an open tunnel is not."""
    cold.daemon_conf(hold="1s")
    cold.start_daemon()
    assert cold.ok("h", "true") == ""
    port = free_port()
    assert Asked(cold, "forward", "-L", f"{port}:127.0.0.1:{echoing.port}").status == 0
    with connect(port) as c:
        assert exchange(c) == b"hello"
        holds_for(lambda: exchange(c) == b"hello", 1.5, "the tunnel")
    wait_for(lambda: json.loads(cold.ctl("--json", "list").text)["items"] == [],
             "the end of the idle connection", 10)
    assert not listens(port)


class Live:
    """A request that runs on the wire, to send actions to."""

    def __init__(self, box, *args, command="cat"):
        self.stdin_read, self.stdin = os.pipe()
        self.out, out = os.pipe()
        self.w = wire.connect(box.socket)
        self.w.send_request(["-F", str(box.config), *args], "h", command,
                            streams=[self.stdin_read, out, wire.NULL], env=box.env,
                            flags=wire.WANT_STARTED)
        os.close(self.stdin_read)
        os.close(out)
        self.w.recv_until(wire.STARTED)

    def act(self, verb, *args):
        """The first notice that comes."""
        self.w.send(wire.ACTION, {"verb": verb, "args": list(args)})
        return self.w.recv_until(wire.NOTICE)[0][2]["text"]

    def notice(self):
        return self.w.recv_until(wire.NOTICE)[0][2]["text"]

    def end(self):
        os.close(self.stdin)
        status = self.w.recv_until(wire.EXIT)[0][2].get("status")
        os.close(self.out)
        self.w.close()
        return status


@pytest.mark.core
def test_forwards_of_a_live_request(warm, echoing):
    """~C: another forward, one less, and what cannot be read."""
    live = Live(warm)
    local, dynamic, remote = ports(3)
    target = f"127.0.0.1:{echoing.port}"
    assert live.act("forward", "-L", f"{local}:{target}") == "Forwarding port."
    assert live.act("forward", "-D", str(dynamic)) == "Forwarding port."
    assert live.act("forward", "-R", f"{remote}:{target}") == "Forwarding port."
    for port in (local, remote):
        with connect(port) as c:
            assert exchange(c) == b"hello"
    assert live.act("forward", "-L", f"127.0.0.1:{echoing.port}:{target}").startswith("bind ")
    assert live.notice().startswith("channel_setup_fwd_listener_tcpip: cannot listen to port: ")
    assert live.notice() == "Port forwarding failed."
    assert live.act("forward", "-L", "nonsense") == "Bad local forwarding specification."
    assert live.act("forward", "-X", "8080") == "Bad forwarding specification."
    assert live.act("cancel", "-L", str(local)) == "Canceled forwarding."
    assert live.act("cancel", "-L", str(local)) == "Unknown port forwarding."
    assert live.act("cancel", "-R", str(remote)) == "Canceled forwarding."
    assert live.act("nonsense").endswith("does not know the action nonsense")
    assert listens(dynamic)
    assert live.end() == 0
    wait_for(lambda: not listens(dynamic) and not listens(remote), "the end of its forwards")


def test_list(warm, echoing):
    """~#: the session, the listeners, the connections, numbered as ssh numbers them."""
    port = free_port()
    live = Live(warm, "-4", "-L", f"{port}:127.0.0.1:{echoing.port}")
    with connect(port) as c:
        assert exchange(c) == b"hello"
        assert live.act("list") == "The following connections are open:"
        assert live.notice() == "  #1 client-session"
        assert live.notice() == f"  #0 port listener: {port} to 127.0.0.1:{echoing.port}"
        assert live.notice() == (
            f"  #2 direct-tcpip: listening port {port} for 127.0.0.1 port {echoing.port}, "
            f"connect from 127.0.0.1 port {c.getsockname()[1]} to 127.0.0.1 port {port}")
    assert live.end() == 0


def test_rekey_and_break(bare):
    """New keys are made, and what runs goes on; a break is no trouble."""
    bare.sshd = bare.server(LogLevel="DEBUG1")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    live = Live(bare, "-v")

    def keys():
        return bare.sshd.log.read_text().count("SSH2_MSG_NEWKEYS received")
    assert keys() == 1

    def asked():
        return live.act("rekey") == "hawser: new keys are being made"
    wait_for(asked, "keys that are a second old")
    wait_for(lambda: keys() == 2, "the new keys")
    live.w.send(wire.ACTION, {"verb": "break", "args": []})
    os.write(live.stdin, b"still\n")
    assert os.read(live.out, 100) == b"still\n"
    assert live.end() == 0
    assert keys() == 2


def test_client_leaves_meanwhile(warm, echoing):
    """A client that goes while its forwards are made leaves nothing behind."""
    taken = ports(12)
    for i, port in enumerate(taken):
        w = wire.connect(warm.socket)
        w.send_request(["-F", str(warm.config), "-N", "-R", f"{port}:127.0.0.1:{echoing.port}",
                        "-L", f"localhost:{free_port()}:a:1"], "h", env=warm.env)
        if i % 3:
            w.send(wire.ACTION, {"verb": "forward", "args": ["-D", "0"]})
        if i % 2:
            w.ping()
        w.close()
    wait_for(lambda: not any(listens(p) for p in taken), "no listener")
    assert warm.ok("h", "echo fine") == "fine\n"
    assert warm.sshd.logins() == 1


def test_forwards_are_bounded(warm):
    """A thousand forwards of one call are enough, and the next is refused with a word."""
    args = [f"-L{warm.dir}/f{i}:a:1" for i in range(1001)]
    with wire.connect(warm.socket) as w:
        w.send_request(["-F", str(warm.config), "-N", *args], "h", env=warm.env,
                       flags=wire.WANT_STARTED)
        before = w.recv_until(wire.STARTED)[1]
    said = [m[2]["text"] for m in before if m[0] == wire.NOTICE]
    assert said == ["hawser: more than 1000 forwards of one call"], said
    wait_for(lambda: warm.ok("h", "echo fine") == "fine\n", "a daemon that serves")
