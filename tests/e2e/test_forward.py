"""Local forwards: -L, -D and -W, compared with what ssh does where that can be asked."""
import hashlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading

import pexpect
import pytest

from forwarding import (Server, connect, connect_path, echo, exactly, exchange, lines, listens,
                        ports, read_all, reset, socks4, socks5)
from util import fd_targets, free_port, holds_for, pattern, read_text, wait_for

TAKEN = "bind [127.0.0.1]:{0}: Address already in use"
CANNOT = "channel_setup_fwd_listener_tcpip: cannot listen to port: {0}"


def up_to(box, *args, port, **more):
    """A client in the background, and a connection to its forward."""
    client = box.popen(*args, **more)
    return client, connect(port)


@pytest.mark.core
@pytest.mark.oracle
def test_local(warm, echoing):
    """-L: both loopback addresses, as ssh binds them; gone with the client."""
    port = free_port()
    client, c = up_to(warm, "-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", port=port)
    with c:
        assert exchange(c) == b"hello"
    with connect(port, "::1") as c6:
        assert exchange(c6) == b"hello"
    assert client.poll() is None
    client.terminate()
    assert client.wait(20) == 0  # -N is over when somebody says so
    wait_for(lambda: not listens(port), "the listener's end")
    client = warm.popen("-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h")
    connect(port).close()
    client.send_signal(signal.SIGINT)
    assert client.wait(20) == 255


@pytest.mark.oracle
@pytest.mark.parametrize("bind, there, not_there", [
    ("localhost", ["127.0.0.1", "::1"], ["127.0.0.2"]),
    ("127.0.0.1", ["127.0.0.1"], ["::1", "127.0.0.2"]),
    ("[::1]", ["::1"], ["127.0.0.1"]),
    ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1"]),
    ("*", ["127.0.0.1", "127.0.0.3", "::1"], []),
    ("", ["127.0.0.1", "127.0.0.3", "::1"], []),
])
def test_bind_addresses(warm, echoing, bind, there, not_there):
    """Each form of an address listens where ssh does."""
    port = free_port()
    client = warm.popen("-N", "-L", f"{bind}:{port}:127.0.0.1:{echoing.port}", "h")
    for host in there:
        with connect(port, host) as c:
            assert exchange(c) == b"hello"
    for host in not_there:
        assert not listens(port, host), host
    client.terminate()
    client.wait(20)


@pytest.mark.oracle
@pytest.mark.parametrize("option", ["-g", "-oGatewayPorts=yes"])
def test_gateway_ports(warm, echoing, option):
    """All addresses where none is named; one that is named stays as it is. -4: one family."""
    port, named = ports(2)
    client = warm.popen("-N", "-4", option, "-L", f"{port}:127.0.0.1:{echoing.port}",
                        "-L", f"127.0.0.1:{named}:127.0.0.1:{echoing.port}", "h")
    with connect(port, "127.0.0.9") as c:
        assert exchange(c) == b"hello"
    connect(named).close()
    assert not listens(named, "127.0.0.9")
    assert not listens(port, "::1")
    client.terminate()
    client.wait(20)


@pytest.mark.core
@pytest.mark.oracle
def test_port_taken(warm):
    """ssh's words; the command runs all the same, but with ExitOnForwardFailure."""
    with Server(echo) as one, Server(echo, family=socket.AF_INET6, port=one.port):
        spec = f"{one.port}:127.0.0.1:1"
        words = [TAKEN.format(one.port), CANNOT.format(one.port),
                 "Could not request local forwarding."]
        result = warm.run("-L", spec, "h", "echo ran")
        assert result.status == 0 and result.text == "ran\n" and lines(result) == words, result
        result = warm.run("-o", "ExitOnForwardFailure=yes", "-L", spec, "h", "echo ran")
        assert result.status == 255 and result.text == "" and lines(result) == words, result
        # Of several that some fail is no more than their own words.
        result = warm.run("-L", spec, "-L", f"{free_port()}:127.0.0.1:1", "h", "true")
        assert result.status == 0 and lines(result) == words[:2], result
        assert warm.run("-q", "-L", spec, "h", "true").err == ""


@pytest.mark.oracle
def test_bind_failures(warm):
    """A name that nobody knows, an address that is not ours."""
    result = warm.run("-L", "nosuch.invalid:18082:127.0.0.1:1", "h", "true", timeout=30)
    assert lines(result)[0].startswith(
        "channel_setup_fwd_listener_tcpip: getaddrinfo(nosuch.invalid): "), result
    assert lines(result)[1:] == ["Could not request local forwarding."], result
    result = warm.run("-L", "198.51.100.9:18082:127.0.0.1:1", "h", "true")
    assert lines(result) == ["bind [198.51.100.9]:18082: Cannot assign requested address",
                             CANNOT.format(18082), "Could not request local forwarding."], result
    assert warm.run("-L", "80a:h:80", "h", "true").status == 255


@pytest.mark.core
@pytest.mark.oracle
def test_unix_sockets(warm, echoing):
    """A local socket to a port, a port to a remote socket, and socket to socket; mode, unlink."""
    far = warm.account.home / "far.sock"
    near, near2 = warm.dir / "near", warm.dir / "near2"
    port = free_port()
    with Server(echo, path=far):
        os.chmod(far, 0o777)
        client = warm.popen("-N", "-L", f"{near}:127.0.0.1:{echoing.port}", "-L", f"{port}:{far}",
                            "-L", f"{near2}:{far}", "h")
        for c in (connect_path(near), connect_path(near2), connect(port)):
            with c:
                assert exchange(c) == b"hello"
        assert near.stat().st_mode & 0o777 == 0o600
        client.terminate()
        client.wait(20)
    far.unlink()
    result = warm.run("-L", f"{near}:127.0.0.1:1", "h", "true")
    assert lines(result) == [f"unix_listener: cannot bind to path {near}: Address already in use",
                             "Could not request local forwarding."], result
    client = warm.popen("-N", "-o", "StreamLocalBindUnlink=yes", "-o", "StreamLocalBindMask=0111",
                        "-L", f"{near}:127.0.0.1:{echoing.port}", "h")
    with connect_path(near) as c:
        assert exchange(c) == b"hello"
    assert near.stat().st_mode & 0o777 == 0o666
    client.terminate()
    client.wait(20)


@pytest.mark.oracle
def test_relative_path_and_tokens(warm, echoing):
    """Paths are relative to the client's directory; %h and ${NAME} stand for themselves."""
    for written, there in (("./x.sock", "x.sock"), ("${THERE}/%h.sock", "127.0.0.1.sock")):
        client = warm.popen("-N", "-L", f"{written}:127.0.0.1:{echoing.port}", "h",
                            cwd=str(warm.dir), env={"THERE": warm.dir})
        with connect_path(warm.dir / there) as c:
            assert exchange(c) == b"hello"
        client.terminate()
        client.wait(20)


@pytest.mark.core
@pytest.mark.oracle
def test_socks(warm, echoing):
    """-D: SOCKS 5, 4 and 4a; at a path too."""
    port, path = free_port(), warm.dir / "socks"
    client = warm.popen("-N", "-D", str(port), "-D", str(path), "h")
    with connect(port) as c:
        assert socks5(c, "localhost", echoing.port) == 0
        assert exchange(c) == b"hello"
    with connect(port) as c:
        assert socks4(c, "127.0.0.1", echoing.port) == 90
        assert exchange(c) == b"hello"
    with connect_path(path) as c:
        assert socks4(c, "localhost", echoing.port) == 90
        assert exchange(c) == b"hello"
    # All in one write, with the first bytes behind.
    with connect(port) as c:
        c.sendall(b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + struct.pack(">H", echoing.port) + b"early")
        assert exactly(c, 2 + 10 + 5)[-5:] == b"early"
    for nonsense in (b"GET / HTTP/1.0\r\n\r\n", b"\4\2" + b"\0" * 7, b"\5\1\0\5\2\0\1" + b"\0" * 6):
        with connect(port) as c:
            c.sendall(nonsense)
            read_all(c)  # the end comes
    client.terminate()
    client.wait(20)


@pytest.mark.core
@pytest.mark.oracle
def test_refused_target(warm):
    """A connection that the server cannot make: ssh's line, with ssh's number; a SOCKS client gets
    no answer but the end."""
    port = free_port()
    for args, number, ask in ((["-N", "-L", f"{port}:127.0.0.1:1"], 2, None),
                              (["-4", "-L", f"{port}:127.0.0.1:1"], 2, None),
                              (["-N", "-D", str(port)], 2, 1),
                              (["-N", "-L", f"{port}:/nosuch/socket"], 2, None)):
        words = ["h", "cat"] if "-N" not in args else ["h"]
        client, c = up_to(warm, *args, *words, port=port,
                          stdin=-1 if words[1:] else None)
        with c:
            if ask:
                assert socks5(c, "127.0.0.1", ask) is None
            assert read_all(c) == b""
        why = "open failed" if "/nosuch" in args[-1] else "Connection refused"
        line = client.stderr.readline().decode().rstrip()
        assert line == f"channel {number}: open failed: connect failed: {why}", line
        client.kill()
        client.wait(20)
        wait_for(lambda: not listens(port), "the listener's end")


@pytest.mark.oracle
def test_forbidden(bare):
    """A server without forwarding says so through each connection."""
    bare.sshd = bare.server(AllowTcpForwarding="no")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    port = free_port()
    client, c = up_to(bare, "-N", "-L", f"{port}:127.0.0.1:1", "h", port=port)
    with c:
        assert read_all(c) == b""
    line = client.stderr.readline().decode().rstrip()
    assert line == "channel 2: open failed: administratively prohibited: open failed", line
    client.terminate()


@pytest.mark.core
@pytest.mark.oracle
def test_waits_for_connections(warm, echoing):
    """The command has ended, a forwarded connection is open: ssh stays, takes new ones, and ends
    with the command's status when the last has gone."""
    port = free_port()
    client, c = up_to(warm, "-L", f"{port}:127.0.0.1:{echoing.port}", "h", "cat; exit 7",
                      port=port, stdin=-1)
    with c:
        assert exchange(c) == b"hello"
        client.stdin.close()
        holds_for(lambda: client.poll() is None, 0.6, "the client left its connection")
        with connect(port) as second:
            assert exchange(second) == b"hello"
        assert exchange(c, b"still") == b"still"
    assert client.wait(20) == 7
    assert not listens(port)


@pytest.mark.oracle
def test_signal_ends_the_wait(warm, echoing):
    """SIGTERM does not wait for connections."""
    port = free_port()
    client, c = up_to(warm, "-L", f"{port}:127.0.0.1:{echoing.port}", "h", "cat", port=port,
                      stdin=-1)
    with c:
        assert exchange(c) == b"hello"
        client.stdin.close()
        holds_for(lambda: client.poll() is None, 0.4, "the client left its connection")
        client.send_signal(signal.SIGTERM)
        assert client.wait(20) == 255
        assert read_all(c) == b""


@pytest.mark.oracle
def test_control_c_ends_the_wait(warm, echoing):
    """Nor does ^C at the terminal."""
    port = free_port()
    term = warm.spawn("-t", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", "echo up; read x")
    term.expect("up")
    with connect(port) as c:
        assert exchange(c) == b"hello"
        term.sendline("")
        holds_for(term.isalive, 0.4, "the client left its connection")
        term.sendcontrol("c")
        assert read_all(c) == b""
    term.expect_exact(pexpect.EOF)
    term.close()
    assert term.exitstatus == 255 or term.signalstatus == signal.SIGINT


@pytest.mark.oracle
def test_half_close(warm):
    """Each direction ends by itself, and a reset arrives as an end."""
    ended = threading.Event()

    def answer(sock):
        data = read_all(sock)
        sock.sendall(hashlib.sha256(data).hexdigest().encode())
        ended.set()
    with Server(answer) as server:
        port = free_port()
        client, c = up_to(warm, "-N", "-L", f"{port}:127.0.0.1:{server.port}", "h", port=port)
        data = pattern(3 << 20, 5)
        with c:
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
            assert read_all(c).decode() == hashlib.sha256(data).hexdigest()
        ended.clear()
        c = connect(port)
        c.sendall(b"some")
        wait_for(lambda: server.open, "the connection at the other side")
        reset(c)
        assert ended.wait(20)
        client.terminate()
        client.wait(20)


def pump_both_ways(port, size, seed):
    """Sends and receives at once through an echo; True: what came is what was sent."""
    data = pattern(size, seed)
    with connect(port) as c:
        sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
        sender.start()
        got = hashlib.sha256()
        total = 0
        while part := c.recv(1 << 18):
            got.update(part)
            total += len(part)
        sender.join()
    return total == size and got.digest() == hashlib.sha256(data).digest()


@pytest.mark.core
@pytest.mark.oracle
def test_much_both_ways(warm, echoing):
    """100 MB there and back at once, whole."""
    port = free_port()
    client, c = up_to(warm, "-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", port=port)
    c.close()
    assert pump_both_ways(port, 100 << 20, 1)
    client.terminate()
    client.wait(20)


def test_slow_reader_stops_itself_only(warm):
    """Back-pressure: one that does not read is held back, another goes on, the daemon stays small,
    and what was held back arrives."""
    size = 64 << 20
    data = pattern(size, 9)
    with Server(lambda sock: sock.sendall(data)) as server, Server(echo) as other:
        port, quick = ports(2)
        client = warm.popen("-N", "-L", f"{port}:127.0.0.1:{server.port}",
                            "-L", f"{quick}:127.0.0.1:{other.port}", "h")
        with connect(port) as slow:
            assert len(exactly(slow, 1000)) == 1000
            before = warm.daemon_rss()
            assert pump_both_ways(quick, 8 << 20, 3)
            assert warm.daemon_rss() - before < 40_000
            rest = read_all(slow)
        assert hashlib.sha256(data[1000:]).digest() == hashlib.sha256(rest).digest()
        client.terminate()
        client.wait(20)


def test_thousand_connections_leak_nothing(warm, echoing):
    """A thousand through one forward, some at once: every one is served, no descriptor stays."""
    port = free_port()
    client, c = up_to(warm, "-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", port=port)
    with c:
        assert exchange(c) == b"hello"
    pid = warm.daemon_pid()

    def count():
        return len(fd_targets(pid))
    wait_for(lambda: not echoing.open, "the first connection's end")
    steady = count()
    for _ in range(10):
        batch = [connect(port) for _ in range(100)]
        for i, one in enumerate(batch):
            assert exchange(one, b"%d" % i) == b"%d" % i
        for i, one in enumerate(batch):
            one.close() if i % 2 else reset(one)
    wait_for(lambda: count() <= steady, f"{steady} descriptors again")
    client.terminate()
    client.wait(20)


def test_flood_of_connections(warm, echoing):
    """Those who connect and leave at once, or say nothing, are no trouble."""
    port, dynamic = ports(2)
    client = warm.popen("-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "-D", str(dynamic), "h")
    connect(port).close()
    silent = [connect(dynamic) for _ in range(100)]
    for _ in range(300):
        reset(connect(port))
    with connect(port) as c:
        assert exchange(c) == b"hello"
    with connect(dynamic) as c:
        assert socks5(c, "127.0.0.1", echoing.port) == 0
    assert warm.ok("h", "echo fine") == "fine\n"
    for s in silent:
        s.close()
    client.terminate()
    client.wait(20)


def test_as_many_as_may_be(warm, echoing):
    """A call has a thousand connections at most; one more waits until another has gone."""
    limit, port, dynamic = 1024, *ports(2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    client = warm.popen("-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "-D", str(dynamic), "h")
    silent = [connect(dynamic) for _ in range(limit)]
    wait_for(lambda: len(fd_targets(warm.daemon_pid())) > limit, "all of them")
    with connect(port) as waiting:
        waiting.sendall(b"hello")
        waiting.settimeout(0.5)
        with pytest.raises(socket.timeout):
            waiting.recv(5)
        silent[7].close()
        waiting.settimeout(20)
        assert exactly(waiting, 5) == b"hello"
    for s in silent:
        s.close()
    client.terminate()
    client.wait(20)


@pytest.mark.oracle
def test_verbose(warm, echoing):
    """What ssh -v says of forwards is said here, too: tools wait for it."""
    local, remote = ports(2)
    target = f"127.0.0.1:{echoing.port}"
    client = warm.popen("-v", "-L", f"{local}:{target}", "-R", f"{remote}:{target}", "h", "cat",
                        stdin=-1)
    with connect(local) as c:
        assert exchange(c) == b"hello"
    connect(remote).close()
    client.stdin.close()
    client.wait(20)
    said = client.stderr.read().decode()
    for line in (f"Local connections to LOCALHOST:{local} forwarded to remote address {target}",
                 f"Local forwarding listening on 127.0.0.1 port {local}.",
                 f"Remote connections from LOCALHOST:{remote} forwarded to local address {target}",
                 f"remote forward success for: listen {remote}, connect {target}",
                 f"Connection to port {local} forwarding to 127.0.0.1 port {echoing.port} "
                 "requested."):
        assert f"debug1: {line}" in said, said


def test_out_of_descriptors(cold, echoing):
    """The daemon has none left: connections wait and are served once there are some."""
    cold.start_daemon()
    assert cold.ok("h", "true") == ""
    pid = cold.daemon_pid()
    port = free_port()
    client, c = up_to(cold, "-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", port=port)
    with c:
        assert exchange(c) == b"hello"
    used = max(fd_targets(pid)) + 1
    subprocess.run(["prlimit", f"--nofile={used + 20}", "--pid", str(pid)], check=True)
    many = [connect(port) for _ in range(40)]
    wait_for(lambda: "accept: Too many open files" in cold.daemon_log.read_text(), "EMFILE")
    for one in many:
        assert exchange(one) == b"hello"
        one.close()
    with connect(port) as c:
        assert exchange(c) == b"hello"
    client.terminate()
    client.wait(20)


def test_two_clients_one_login(warm, echoing):
    """Forwards of two clients stand on one connection, and each ends with its own client."""
    one, two = ports(2)
    first, c1 = up_to(warm, "-N", "-L", f"{one}:127.0.0.1:{echoing.port}", "h", port=one)
    second, c2 = up_to(warm, "-N", "-L", f"{two}:127.0.0.1:{echoing.port}", "h", port=two)
    with c1, c2:
        assert exchange(c1) == exchange(c2) == b"hello"
        first.kill()
        assert read_all(c1) == b""
        wait_for(lambda: not listens(one), "the first listener's end")
        assert exchange(c2) == b"hello"
    second.terminate()
    assert second.wait(20) == 0
    assert warm.sshd.logins() == 1


def test_lost_connection(warm, echoing):
    """The server drops the connection: -N ends with words where nothing is to come back; who waits
    keeps the status."""
    warm.daemon_conf(reconnect=0)
    os.kill(warm.daemon_pid(), signal.SIGHUP)
    wait_for(lambda: "settings read again" in read_text(warm.daemon_log), "the settings")
    port, other = ports(2)
    client, c = up_to(warm, "-N", "-L", f"{port}:127.0.0.1:{echoing.port}", "h", port=port)
    ended, d = up_to(warm, "-L", f"{other}:127.0.0.1:{echoing.port}", "h", "cat; exit 3",
                     port=other, stdin=-1)
    with c, d:
        assert exchange(c) == exchange(d) == b"hello"
        ended.stdin.close()
        wait_for(lambda: json.loads(warm.ctl("--json", "list").text)["items"][0]["sessions"] == 0,
                 "the command's end")
        warm.sshd.cut()
        assert client.wait(20) == 255
        assert b"closed the connection" in client.stderr.read()
        assert ended.wait(20) == 3
        assert read_all(c) == read_all(d) == b""
    assert warm.ok("h", "echo again") == "again\n"


def test_connection_through_a_forward(warm):
    """A held connection that runs through another call's forward: while it is used the call stays;
    when it is idle it neither keeps the call nor outlives it."""
    port = free_port()
    warm.host("inner", warm.sshd, Port=port, HostKeyAlias=f"[127.0.0.1]:{warm.sshd.port}")
    outer = warm.popen("-L", f"{port}:127.0.0.1:{warm.sshd.port}", "h", "cat", stdin=-1)
    connect(port).close()
    user = warm.popen("inner", "cat; exit 4", stdin=-1, stdout=-1)
    user.stdin.write(b"x")
    user.stdin.flush()
    assert user.stdout.read(1) == b"x"
    outer.stdin.close()
    holds_for(lambda: outer.poll() is None, 0.6, "the call left a connection that is in use")
    user.stdin.close()
    assert user.wait(20) == 4
    assert outer.wait(20) == 0
    wait_for(lambda: f"127.0.0.1:{port}" not in warm.ctl("list").out.decode() and
             warm.ctl("list").out.decode().count("ready") <= 1, "the inner connection's end")


# ---- -W --------------------------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.oracle
def test_stdio(warm, echoing):
    """-W: both ways, large, half-closed; nothing at stdin; statuses and words as ssh's."""
    data = pattern(20 << 20, 4)
    result = warm.run("-W", f"127.0.0.1:{echoing.port}", "h", input=data)
    assert result.status == 0 and result.out == data and result.err == "", result
    assert warm.run("-W", f"localhost:{echoing.port}", "h").out == b""
    result = warm.run("-W", "127.0.0.1:1", "h")
    assert result.status == 255 and lines(result) == [
        "channel 0: open failed: connect failed: Connection refused",
        "stdio forwarding failed"], result


@pytest.mark.oracle
def test_stdio_slow_reader(warm):
    """stdout that nobody reads stops the sender, and nothing is lost."""
    sent = []

    def send(sock):
        block = pattern(1 << 20, 8)
        for _ in range(48):
            sock.sendall(block)
            sent.append(1)
    with Server(send) as server:
        client = warm.popen("-W", f"127.0.0.1:{server.port}", "h")
        assert client.stdout.read(10) == pattern(1 << 20, 8)[:10]
        wait_for(lambda: len(sent) > 2, "the first megabytes")
        holds_for(lambda: len(sent) < 40, 1, "nobody reads, and it was taken all the same")
        assert len(client.stdout.read()) == (48 << 20) - 10
        assert client.wait(20) == 0


@pytest.mark.oracle
def test_stdio_clears_forwards(warm, echoing):
    """-W means ClearAllForwardings and ExitOnForwardFailure, unless something else is said."""
    with Server(echo) as taken, Server(echo, family=socket.AF_INET6, port=taken.port):
        spec = f"{taken.port}:127.0.0.1:1"
        args = ["-W", f"127.0.0.1:{echoing.port}", "-L", spec, "h"]
        result = warm.run(*args, input=b"x")
        assert result.status == 0 and result.out == b"x" and result.err == "", result
        result = warm.run("-oClearAllForwardings=no", *args, input=b"x")
        assert result.status == 255 and result.out == b"", result


@pytest.mark.oracle
def test_closed_stdin_and_stdout(warm, echoing):
    """A reader that leaves ends -W."""
    client = warm.popen("-W", f"127.0.0.1:{echoing.port}", "h", stdin=-1)
    client.stdin.write(b"x" * 1000)
    client.stdin.flush()
    assert client.stdout.read(1000) == b"x" * 1000
    client.stdout.close()
    try:
        for _ in range(2000):
            client.stdin.write(b"y" * 4096)
            client.stdin.flush()
        client.stdin.close()
    except BrokenPipeError:
        pass
    client.wait(20)
