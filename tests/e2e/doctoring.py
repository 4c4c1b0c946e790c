"""Asking hawserctl doctor, and servers that behave as no sshd does."""
import contextlib
import json
import socket
import struct
import threading

from daemon import BIN


def prepare(box):
    """One known server "h"; hawser is on PATH there, as it is for users."""
    box.bin = BIN
    box.sshd = box.server()
    box.host("h", box.sshd)
    box.trust(box.sshd)
    return box


def path_of(box):
    return {"PATH": f"{box.bin}:{box.env['PATH']}"}


def doctor(box, *args, env=None):
    """(exit status, verdict, {part: [(finding, text, cure)]})"""
    result = box.ctl("--json", "doctor", "-F", str(box.config), *args,
                     env={**path_of(box), **(env or {})}, timeout=60)
    told = json.loads(result.text)
    parts = {}
    for item in told["items"]:
        parts.setdefault(item["part"], []).append((item["finding"], item["text"], item["cure"]))
    assert (result.status == 0) == told["ok"], result
    return result.status, told["verdict"], parts


def texts(parts, part):
    return " | ".join(f"{text} {cure or ''}" for _, text, cure in parts.get(part, []))


def findings(parts, part):
    return [finding for finding, *_ in parts.get(part, [])]


class Odd:
    """A server whose every connection is served by talk(socket), in a thread of its own."""

    def __init__(self, talk):
        self.talk = talk
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self.one, args=(peer,), daemon=True).start()

    def one(self, peer):
        with contextlib.suppress(OSError), peer:
            self.talk(peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def kexinit(names):
    """A KEXINIT that has the same names (bytes) in each of its lists (RFC 4253 section 7.1)."""
    lists = (struct.pack(">I", len(names)) + names) * 10
    payload = bytes([20]) + bytes(16) + lists + bytes(5)
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)
