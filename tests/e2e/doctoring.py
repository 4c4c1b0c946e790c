"""Asking hawserctl doctor, and what a server that is no sshd says to it."""
import json
import struct

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


def kexinit(names):
    """A KEXINIT that has the same names (bytes) in each of its lists (RFC 4253 section 7.1)."""
    lists = (struct.pack(">I", len(names)) + names) * 10
    payload = bytes([20]) + bytes(16) + lists + bytes(5)
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)
