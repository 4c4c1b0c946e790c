"""Hostile and broken clients: only they suffer. A bystander's session goes on, the daemon lives."""
import os
import random
import select
import socket
import struct
import subprocess
import tempfile

import pytest

import wire
from util import HEAVY, cpu_seconds, holds_for, pattern, read_text, sha, wait_for

C2D = ("REQUEST", "SIGNAL", "RESIZE", "ANSWER", "CANCEL", "CONTROL", "PING")


@pytest.fixture
def target(warm):
    """A warm daemon with a session of somebody else, which must not notice anything."""
    pid = warm.daemon_pid()
    bystander = warm.popen("h", "while read line; do echo \"got $line\"; done; exit 7",
                           stdin=subprocess.PIPE)
    count = [0]

    def undisturbed():
        count[0] += 1
        os.write(bystander.stdin.fileno(), b"%d\n" % count[0])
        assert select.select([bystander.stdout], [], [], 10)[0], "the bystander waits for 10 s"
        assert bystander.stdout.readline() == b"got %d\n" % count[0]
        assert warm.daemon_pid() == pid, "another daemon answers"
    warm.undisturbed = undisturbed
    undisturbed()
    before = len(warm.daemon_fds())
    yield warm
    undisturbed()
    # A second connection, opened for a rush, goes after 30 s.
    wait_for(lambda: len(warm.daemon_fds()) <= before, "the descriptors are closed again", 45)
    bystander.stdin.close()
    assert bystander.wait(20) == 7
    assert warm.ok("h", "echo on") == "on\n"
    assert warm.sshd.logins() <= 4  # further ones only for what MaxSessions did not let in


def body_of(name, box):
    """A good body for each message that a client may send."""
    return {
        "REQUEST": wire.request_body(["-F", str(box.config)], "h", "true",
                                     env={"A": "1", "B": "2"}, winsize=(80, 24, 0, 0))[0],
        "SIGNAL": {"name": "TERM"},
        "RESIZE": {"cols": 80, "rows": 24, "xpixel": 0, "ypixel": 0},
        "ANSWER": {"prompt": 1, "cancelled": False, "answers": ["secret"]},
        "CANCEL": {},
        "CONTROL": {"proto": 0, "verb": "list", "args": []},
        "PING": {},
    }[name]


def frame_of(name, box, number=1):
    return wire.pack(getattr(wire, name), number, body_of(name, box))


def settle(w):
    """Reads until the daemon has dealt with all that was sent: its pong, or the end."""
    try:
        return w.ping()
    except wire.Closed:
        return False


# ---- cut, twisted, unknown -------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("name", C2D)
def test_frame_cut_at_each_byte(target, name):
    """Each message, the connection closed after each of its bytes."""
    whole = frame_of(name, target)
    for cut in range(len(whole)):
        with wire.connect(target.socket) as w:
            w.send_raw(whole[:cut])
    target.undisturbed()


@pytest.mark.core
@pytest.mark.parametrize("name", C2D)
def test_payload_cut_at_each_byte(target, name):
    """Each message, shortened to each length with a frame that says so: an answer or the end."""
    payload = frame_of(name, target)[4:]
    for cut in range(len(payload)):
        with wire.connect(target.socket) as w:
            try:
                w.send_raw(wire.frame(payload[:cut]))
            except wire.Closed:
                continue
            settle(w)
    target.undisturbed()


WRONG = [None, True, -1, 0, 1 << 40, (1 << 64) - 1, 1.5, "", "x", "x" * 70000, b"\xff\xfe", "a\0b",
         [], [[]], ["x"], [1], [None] * 5000, {}, {"x": 1}, {1: 2}]


@pytest.mark.core
@pytest.mark.parametrize("name", [n for n in C2D if n not in ("CANCEL", "PING")])
def test_wrong_types(target, name):
    """Each key of each message with values of each wrong type: an answer or the end, soon."""
    good = body_of(name, target)
    for key in list(good) + ["unheard-of"]:
        for value in WRONG:
            with wire.connect(target.socket) as w:
                try:
                    w.send(getattr(wire, name), dict(good, **{key: value}))
                    settle(w)
                except wire.Closed:
                    pass
    target.undisturbed()


def test_missing_keys(target):
    """Each key left out."""
    for name in C2D:
        good = body_of(name, target)
        for key in good:
            with wire.connect(target.socket) as w:
                body = {k: v for k, v in good.items() if k != key}
                w.send(getattr(wire, name), body)
                settle(w)


@pytest.mark.parametrize("payload", [
    b"", b"\xc0", b"\x90", b"\x93", b"\x92\x01\x01", b"\x94\x01\x01\x80\x80", b"\x80",
    b"\xc1" * 10, b"\x93\xa1x\x01\x80", b"\x93\x01\xa1x\x80", b"\x93\x01\x01\xc0",
    b"\x93\x01\x01\xdd\xff\xff\xff\xff", b"\x93\x01\x01\xdf\xff\xff\xff\xff",
    b"\x93\x01\x01\xdb\xff\xff\xff\xff", b"\x93\x01\x01\xc6\xff\xff\xff\xffx",
    b"\xdd\xff\xff\xff\xff" * 1000, b"\x91" * 100_000, b"\x81\x01" * 100_000,
    b"\x93\x01\x01\xdd\x00\x0f\xff\xff" + b"\xc0" * 900_000, b"\x93\xff\x01\x80",
    b"\x93\xcf" + b"\xff" * 8 + b"\x01\x80", b"\x93\x07\x01\x80extra",
], ids=range(22))
def test_payloads_that_are_no_messages(target, payload):
    """msgpack that is broken, bottomless, or announces what never comes."""
    before = target.daemon_rss()
    with wire.connect(target.socket) as w:
        try:
            w.send_raw(wire.frame(payload))
            settle(w)
        except wire.Closed:
            pass
    assert target.daemon_rss() - before < HEAVY * (40 << 10)


def test_random_frames(target):
    """Good messages with random bytes changed, inserted, removed; the seed is fixed."""
    chance = random.Random(20240607)
    for turn in range(300):
        payload = bytearray(frame_of(chance.choice(C2D), target)[4:])
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(payload))
            kind = chance.randrange(3)
            if kind == 0:
                payload[at] = chance.randrange(256)
            elif kind == 1:
                payload.insert(at, chance.randrange(256))
            elif len(payload) > 1:
                del payload[at]
        with wire.connect(target.socket) as w:
            try:
                w.send_raw(wire.frame(bytes(payload)))
                if turn % 3:
                    settle(w)
            except wire.Closed:
                pass
    target.undisturbed()


@pytest.mark.core
def test_unknown_message_is_answered(target):
    """A message number that nobody knows: ERROR, and the connection goes on."""
    with wire.connect(target.socket) as w:
        for number in (0, 31, 99, 1 << 20):
            w.send(number, {}, 1)
            assert w.recv_until(wire.ERROR)[0][2]["text"]
        assert w.ping()


def test_unknown_keys_are_skipped(target):
    """Keys of a newer client do no harm: the request runs."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "exit 4",
                       future={"deep": [1, [2, {"x": None}]]}, zz=1.5)
        assert w.recv_until(wire.EXIT)[0][2]["status"] == 4


def test_newer_minor_version(target):
    """A newer minor version of the protocol is served."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "exit 5", proto=77, version="99.0")
        assert w.recv_until(wire.EXIT)[0][2]["status"] == 5


def test_messages_of_the_daemon_from_a_client(target):
    """What only the daemon may say is an error from a client."""
    for number in range(32, 40):
        with wire.connect(target.socket) as w:
            w.send(number, {"status": 0}, 1)
            try:
                assert w.recv_message()[0] == wire.ERROR
            except wire.Closed:
                pass


def test_messages_for_requests_that_are_not(target):
    """SIGNAL, RESIZE, ANSWER, CANCEL for a request that never was: no harm."""
    for name in ("SIGNAL", "RESIZE", "ANSWER", "CANCEL"):
        with wire.connect(target.socket) as w:
            w.send(getattr(wire, name), body_of(name, target), 4242)
            settle(w)


def test_answer_without_a_question(target):
    """ANSWER while nothing was asked, with any number."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "sleep 0.3; exit 6")
        for prompt in (0, 1, 2, 1 << 31):
            w.answer(prompt, ["x"] * 3)
        assert w.recv_until(wire.EXIT)[0][2]["status"] == 6


# ---- sizes -----------------------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("size", [wire.FRAME_MAX + 1, 1 << 24, 1 << 31, (1 << 32) - 1])
def test_oversized_frame(target, size):
    """A length over the limit: refused at once, nothing of that size is allocated."""
    before = target.daemon_rss()
    with wire.connect(target.socket) as w:
        try:
            w.send_raw(struct.pack(">I", size) + b"x" * 1000)
        except wire.Closed:
            pass
        assert w.closed_by_peer()
    assert target.daemon_rss() - before < HEAVY * (20 << 10)


def test_largest_frame(target):
    """A frame of exactly the limit is read (and refused for what it holds, not for its size)."""
    with wire.connect(target.socket) as w:
        overhead = len(wire.pack(99, 1, {"x": b"y" * 70000})) - 4 - 70000
        w.send(99, {"x": b"y" * (wire.FRAME_MAX - overhead)})
        assert w.recv_until(wire.ERROR)[0][2]["text"]
        assert w.ping()


def test_request_byte_by_byte(target):
    """A request that comes in single bytes is a request."""
    with wire.connect(target.socket) as w:
        body, _ = wire.request_body(["-F", str(target.config)], "h", "exit 8", env={"A": "1"})
        for byte in wire.pack(wire.REQUEST, 1, body):
            w.send_raw(bytes([byte]))
        assert w.recv_until(wire.EXIT)[0][2]["status"] == 8


def test_client_with_a_huge_environment(target):
    """A request that does not fit the protocol's limits: a sentence and 255, or it just works."""
    env = {f"BIG{i}": "x" * 100_000 for i in range(12)}
    result = target.run("h", "echo in", env=env)
    assert result.text == "in\n" or (result.status == 255 and "hawser" in result.err), result


# ---- descriptors -----------------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("count", [1, 3, 4, 16, 253])
def test_descriptor_flood(target, count):
    """Descriptors with messages that have none, many times: none stays in the daemon."""
    before = len(target.daemon_fds())
    with open("/dev/null", "rb") as null:
        for _ in range(20):
            with wire.connect(target.socket) as w:
                try:
                    w.send(wire.PING, {}, 0, [null.fileno()] * count)
                    settle(w)
                except wire.Closed:
                    pass
    wait_for(lambda: len(target.daemon_fds()) <= before, "the descriptors are closed")


def test_descriptors_in_the_middle_of_a_frame(target):
    """Descriptors that come with the second half of a frame, with each byte, without end."""
    with open("/dev/null", "rb") as null:
        for every in (False, True):
            with wire.connect(target.socket) as w:
                whole = frame_of("REQUEST", target)
                try:
                    w.send_raw(whole[:10])
                    for byte in whole[10:60]:
                        w.send_raw(bytes([byte]), [null.fileno()] * (3 if every else 1))
                        if not every:
                            break
                    w.send_raw(whole[60 if every else 11:])
                    settle(w)
                except wire.Closed:
                    pass


@pytest.mark.parametrize("claimed, sent", [(3, 0), (3, 1), (0, 3), (1, 3), (2, 3)])
def test_descriptors_claimed_and_sent_differ(target, claimed, sent):
    """More or fewer descriptors than the request says."""
    with open("/dev/null", "rb") as null:
        with wire.connect(target.socket) as w:
            body, _ = wire.request_body(["-F", str(target.config)], "h", "true",
                                        body_streams=[2] * claimed + [0] * (3 - claimed))
            try:
                w.send(wire.REQUEST, body, 1, [null.fileno()] * sent)
                settle(w)
            except wire.Closed:
                pass


def odd_descriptors(box):
    """(name, descriptor) of things that are no good as stdio."""
    yield "directory", os.open("/", os.O_RDONLY)
    yield "path only", os.open("/dev/null", os.O_PATH)
    yield "file", os.open(box.config, os.O_RDONLY)
    yield "zero", os.open("/dev/zero", os.O_RDWR)
    yield "full", os.open("/dev/full", os.O_WRONLY)
    yield "memory", os.memfd_create("odd")
    with select.epoll() as poll:
        yield "epoll", os.dup(poll.fileno())
    yield "event", os.eventfd(0)
    with socket.socket(socket.AF_UNIX) as s:
        yield "unconnected", os.dup(s.fileno())
    with socket.create_server(("127.0.0.1", 0)) as s:
        yield "listening", os.dup(s.fileno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        yield "datagrams", os.dup(s.fileno())
    with box.connect() as s:
        yield "the daemon itself", os.dup(s.fileno())
    read_end, write_end = os.pipe()
    yield "write end", write_end
    yield "read end of a dead pipe", read_end


@pytest.mark.core
@pytest.mark.parametrize("place", [0, 1, 2])
def test_odd_descriptors(target, place):
    """Directories, epoll sets, listening sockets and the like as stdin, stdout, stderr."""
    for name, fd in odd_descriptors(target):
        with wire.connect(target.socket) as w:
            streams = [wire.NULL] * 3
            streams[place] = fd
            w.send_request(["-F", str(target.config)], "h", "head -c 10; echo x; echo y >&2",
                           streams=streams)
            try:
                assert settle(w), name
            except OSError:
                pass
        try:
            os.close(fd)
        except OSError:
            pass
        target.undisturbed()


def test_shared_pipe_as_all_three(target):
    """One socket as stdin, stdout and stderr at once."""
    ours, theirs = socket.socketpair()
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "cat; echo err >&2", streams=[theirs] * 3)
        theirs.close()
        ours.sendall(b"in\n")
        ours.shutdown(socket.SHUT_WR)
        assert w.recv_until(wire.EXIT)[0][2]["status"] == 0
    got = b""
    while block := ours.recv(100):
        got += block
    assert sorted(got.split()) == [b"err", b"in"]
    ours.close()


# ---- time and numbers ------------------------------------------------------------------------

@pytest.mark.core
def test_stall_in_the_middle_of_a_frame(target):
    """Clients that stop within a frame: others go on, and the daemon does not wait for ever."""
    stalled = []
    for name in C2D:
        w = wire.connect(target.socket)
        w.send_raw(frame_of(name, target)[:-1])
        stalled.append(w)
    stalled.append(wire.connect(target.socket))  # and one that says nothing at all
    for _ in range(10):
        target.undisturbed()
    assert all(w.closed_by_peer(60) for w in stalled)
    for w in stalled:
        w.close()


def test_replies_that_nobody_reads(target):
    """A client that asks and never reads is dropped at a limit, not served from memory."""
    before = target.daemon_rss()
    with wire.connect(target.socket) as w:
        w.sock.settimeout(0.5)
        frame = wire.pack(wire.CONTROL, 0, {"proto": 0, "verb": "list", "args": []}) * 50
        try:
            for _ in range(4000):
                w.send_raw(frame)
        except (wire.Closed, OSError):
            pass
        target.undisturbed()
    assert target.daemon_rss() - before < HEAVY * (40 << 10)


def test_more_connections_than_allowed(target):
    """600 connections at once: the session goes on, and after their end all is as before."""
    held = []
    try:
        for _ in range(600):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(5)
            try:
                s.connect(str(target.socket))
            except OSError:
                s.close()
                break
            held.append(s)
    finally:
        for s in held:
            s.close()
    wait_for(lambda: target.ctl("list").status == 0, "the daemon serves again")


def test_same_number_twice(target):
    """A request number that is in use: an error, or the end of that connection."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "sleep 0.5; exit 3")
        w.send_request(["-F", str(target.config)], "h", "exit 4")
        assert w.recv_until(wire.ERROR)[0][2]["text"]


def test_many_requests_on_one_connection(target):
    """More requests than may live on one connection: the surplus is refused, none is lost."""
    with wire.connect(target.socket) as w:
        for number in range(1, 1101):
            w.send_request(["-F", str(target.config)], "no-such-host.invalid", "true",
                           number=number, env={})
        ended = set()
        while len(ended) < 1100:
            kind, number, _ = w.recv_message(60)
            if kind in (wire.EXIT, wire.ERROR, wire.FALLBACK):
                ended.add(number)


def test_request_and_away(target):
    """Requests whose clients leave at once, two hundred times."""
    for i in range(200):
        with wire.connect(target.socket) as w:
            w.send_request(["-F", str(target.config)], "h", "while echo 3330; do sleep 0.1; done")
            if i % 2:
                w.send(wire.SIGNAL, {"name": "TERM"})
    wait_for(lambda: not target.sshd.remote_processes("3330"), "the remote commands' end", 60)


def test_cancel(target):
    """CANCEL ends the remote command."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "h", "exec sleep 3331", flags=wire.WANT_STARTED)
        w.recv_until(wire.STARTED)
        # sshd says "started" before its child has a process group to be signalled.
        wait_for(lambda: target.sshd.remote_processes("3331"), "the remote command")
        w.send(wire.CANCEL)
        wait_for(lambda: not target.sshd.remote_processes("3331"), "the remote command's end")


def test_odd_signals_and_sizes(target):
    """Signals that do not exist and impossible terminal sizes: no harm."""
    with wire.connect(target.socket) as w:
        w.send_request(["-tt", "-F", str(target.config)], "h", "sleep 0.5; exit 2",
                       flags=wire.WANT_STARTED, winsize=(80, 24, 0, 0))
        w.recv_until(wire.STARTED)
        for name in ("", "NOSUCH", "TERM\n", "../.."):
            w.send(wire.SIGNAL, {"name": name})
        for size in ((0, 0), ((1 << 32) - 1, 1), (65536, 65536)):
            w.send(wire.RESIZE, {"winsize": [*size, 0, 0]})
        assert settle(w)
        w.send(wire.SIGNAL, {"name": "x" * 10000})  # over the limit: this ends the connection
        settle(w)


@pytest.mark.parametrize("host", ["-oProxyCommand=touch {}", "--", "-", "", "a b", "h\n", "$(x)",
                                  "`x`", "h;x", "x" * 5000, "user@-oProxyCommand=touch {}"])
def test_host_that_is_an_option(target, host):
    """A host that looks like an option or a shell word is an error and runs nothing."""
    mark = target.dir / "mark"
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], host.format(mark), "true", env={})
        kind, _, body = w.recv_until(wire.EXIT, wire.ERROR, wire.FALLBACK)[0]
        assert kind == wire.ERROR or (body.get("status") in (None, 255) and not body["ran"])
    assert not mark.exists()


def test_no_spinning_afterwards(target):
    """After half-open, stalled and dead connections the daemon rests."""
    held = [wire.connect(target.socket) for _ in range(20)]
    for index, w in enumerate(held):
        w.send_raw(frame_of("REQUEST", target)[:index * 3])
        if index % 2:
            w.sock.shutdown(socket.SHUT_WR)
    pid = target.daemon_pid()
    target.undisturbed()
    begin = cpu_seconds(pid)
    holds_for(lambda: target.daemon_pid() == pid, 1.0, "the daemon lives")
    assert cpu_seconds(pid) - begin < 0.5
    for w in held:
        w.close()


@pytest.mark.core
def test_transfer_beside_hostile_clients(target):
    """20 MB go through unharmed while others misbehave."""
    data = pattern(20 << 20, 12)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        proc = target.popen("h", "cat", stdin=source, stdout=out)
        chance = random.Random(5)
        while proc.poll() is None:
            try:
                with wire.connect(target.socket) as w:
                    w.send_raw(chance.randbytes(chance.randint(1, 2000)))
            except (wire.Closed, BlockingIOError):  # the daemon has not got round to accepting
                pass
        assert proc.returncode == 0
        out.seek(0)
        assert sha(out.read()) == sha(data)


def test_log_is_clean(target):
    """Bytes of a peer reach the log escaped: no control characters, no escape sequences."""
    with wire.connect(target.socket) as w:
        w.send_request(["-F", str(target.config)], "\x1b[31mred\x07\nforged: line", "true", env={})
        w.recv_until(wire.EXIT, wire.ERROR)
    log = read_text(target.daemon_log)
    assert "\x1b" not in log and "\x07" not in log and "\nforged: line" not in log
