"""A small client of hawserd's wire (docs/protocol.md), for tests that speak to the daemon directly,
also in ways that no honest client would. Needs python3-msgpack.

    with wire.connect(path) as w:
        w.send_request(["-F", conf], "web1", "true", streams=[wire.NULL, out, err])
        type, number, body = w.recv_message()
"""

import array
import os
import socket
import struct

import msgpack

# Message numbers, as in protocol/messages.def.
REQUEST, SIGNAL, RESIZE, ANSWER, CANCEL, CONTROL, PING, ACTION = range(1, 9)
STARTED, EXIT, PROMPT, NOTICE, REPLY, ERROR, FALLBACK, PONG, PROGRESS = range(32, 41)

# What stands behind stdin, stdout, stderr of a request, where it is not a descriptor.
NULL, CLOSED, FD = "null", "closed", "fd"
_STREAM_CODES = {NULL: 0, CLOSED: 1, FD: 2}

# Flags of a request.
STDIN_TTY, STDOUT_TTY, STDERR_TTY, WANT_STARTED, CAN_ASK = 1, 2, 4, 8, 16
CAN_RUN, WANT_PROGRESS, STICKY = 32, 64, 128

FRAME_MAX = 1024 * 1024
DEADLINE = 20.0  # seconds that a read waits unless told otherwise


class Closed(Exception):
    """The daemon closed the connection (cleanly, or by a reset)."""


class Timeout(Exception):
    """Nothing came within the deadline."""


def frame(payload):
    """A payload with its length in front."""
    return struct.pack(">I", len(payload)) + payload


def pack(type, number, body):
    """A whole frame. str may hold surrogate escapes (bytes that are not UTF-8)."""
    return frame(msgpack.packb([type, number, body], unicode_errors="surrogateescape"))


def request_body(args, host, command=None, streams=(NULL, NULL, NULL), env=None, cwd="/",
                 flags=0, winsize=None, **more):
    """The body of a REQUEST and the descriptors that go with it. streams: each NULL, CLOSED, a
    descriptor, or something with a fileno(). env: a mapping or a list; None: our own. more: further
    keys, or other values for known ones (body_streams: the codes, whatever the descriptors)."""
    codes, fds = [], []
    for stream in streams:
        if stream in (NULL, CLOSED):
            codes.append(_STREAM_CODES[stream])
        else:
            codes.append(_STREAM_CODES[FD])
            fds.append(stream if isinstance(stream, int) else stream.fileno())
    if env is None:
        env = os.environ
    if hasattr(env, "items"):
        env = [f"{name}={value}" for name, value in env.items()]
    body = {"proto": 0, "version": "wire.py", "args": list(args), "host": host, "env": list(env),
            "cwd": cwd, "flags": flags, "streams": more.pop("body_streams", codes)}
    if command is not None:
        body["command"] = command
    if winsize is not None:
        body["winsize"] = list(winsize)
    body.update(more)
    return body, fds


class Wire:
    """One connection. number: the request number that the calls use unless told otherwise."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.number = 1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def send_raw(self, data, fds=()):
        """Bytes as they are, the descriptors with the first of them. fds are dup'ed by the kernel:
        they stay the caller's."""
        data = memoryview(data)
        try:
            if fds:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                data = data[self.sock.sendmsg([data], rights):]
            if data:
                self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed(str(e)) from e

    def send(self, type, body=None, number=None, fds=()):
        """One message."""
        self.send_raw(pack(type, self.number if number is None else number, body or {}), fds)

    def send_request(self, args, host, command=None, number=None, **rest):
        """A REQUEST; see request_body(). Returns its number."""
        body, fds = request_body(args, host, command, **rest)
        number = self.number if number is None else number
        self.send(REQUEST, body, number, fds)
        return number

    def answer(self, prompt, answers, number=None):
        """Answers to a PROMPT's body (or number); None: nobody could answer."""
        prompt = prompt["prompt"] if isinstance(prompt, dict) else prompt
        body = {"prompt": prompt, "cancelled": answers is None, "answers": answers or []}
        if answers is None:
            body["reason"] = "wire.py was told not to answer"
        self.send(ANSWER, body, number)

    def control(self, verb, args=(), deadline=DEADLINE):
        """A hawserctl verb; returns the body of its REPLY."""
        self.send(CONTROL, {"proto": 0, "verb": verb, "args": list(args)}, 0)
        while True:
            type, _, body = self.recv_message(deadline)
            if type in (REPLY, ERROR):
                return body

    def _fill(self, size, deadline):
        self.sock.settimeout(deadline)
        try:
            while len(self.buffer) < size:
                data = self.sock.recv(65536)
                if not data:
                    raise Closed(f"{len(self.buffer)} bytes of a frame left over")
                self.buffer += data
        except socket.timeout as e:
            raise Timeout(f"{len(self.buffer)} of {size} bytes after {deadline} s") from e
        except ConnectionResetError as e:
            raise Closed("reset") from e
        finally:
            self.sock.settimeout(None)

    def recv_message(self, deadline=DEADLINE):
        """(type, number, body). Raises Closed or Timeout (then a later call goes on)."""
        self._fill(4, deadline)
        size = struct.unpack(">I", self.buffer[:4])[0]
        assert size <= FRAME_MAX, f"the daemon announced {size} bytes"
        self._fill(4 + size, deadline)
        payload, self.buffer = self.buffer[4:4 + size], self.buffer[4 + size:]
        type, number, body = msgpack.unpackb(payload, raw=False, unicode_errors="surrogateescape")
        return type, number, body

    def recv_until(self, *types, deadline=DEADLINE):
        """The first message of one of these types, and the list of those before it."""
        before = []
        while True:
            message = self.recv_message(deadline)
            if message[0] in types:
                return message, before
            before.append(message)

    def ping(self, deadline=DEADLINE):
        """True when the daemon answers this connection."""
        self.send(PING, {}, 0)
        return self.recv_until(PONG, deadline=deadline)[0][0] == PONG

    def closed_by_peer(self, deadline=DEADLINE):
        """Reads to the end: True when the daemon has closed, False when it still holds on."""
        try:
            while True:
                self.recv_message(deadline)
        except Closed:
            return True
        except Timeout:
            return False


def connect(path, deadline=DEADLINE):
    """A Wire to the daemon's socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.settimeout(deadline)
    sock.connect(str(path))
    sock.settimeout(None)
    return Wire(sock)
