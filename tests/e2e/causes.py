"""Causes provoked for real: what the user reads, whether `hawserctl why` has the class, and how
long it took. With HAWSER_CAUSES_TABLE=FILE each cause leaves a line of a table there."""
import contextlib
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

from util import wait_for

TABLE = os.environ.get("HAWSER_CAUSES_TABLE")
HEADING = f"""# Each cause, provoked

Made on {time.strftime("%Y-%m-%d")} by tests/e2e/test_causes_*.py, each line by a real sshd (or what
stands in its place) and what does harm to it: a relay, a packet filter in a network namespace,
settings of sshd and ssh. To make it anew, as root (1 minute):

    rm docs/causes-provoked.md
    HAWSER_CAUSES_TABLE=$PWD/docs/causes-provoked.md python3 -m pytest tests/e2e/test_causes_*.py

"Told after" counts from the blow (or the start of a request that fails) to the end of the client
that reads it. Times of a minute on a busy machine; where a time-out of ssh_config or sshd_config
decides, it is named.

""" + ("| cause | provoked by | class | what the user reads | next step | told after |\n"
           "|---|---|---|---|---|---|\n")
# What this project exists to end.
BARE = re.compile(r"(hawser: )?(the )?connection (to \S+ )?(was )?(closed|lost|reset)"
                  r"( by remote host| by peer)?\.?", re.I)


class Told:
    """What one who was struck reads: the cause's line, the next step's, and after how long."""

    def __init__(self, err, seconds, status=255):
        lines = [line.removeprefix("hawser: ").rstrip("\r")
                 for line in err.splitlines() if line.startswith("hawser: ")]
        self.text, self.hint = (lines + ["", ""])[:2] if len(lines) < 2 else lines[-2:]
        self.err, self.seconds, self.status = err, seconds, status


def run(box, *args, **popen):
    """A request that is to fail."""
    begun = time.monotonic()
    result = box.run(*args, **popen)
    return Told(result.err, time.monotonic() - begun, result.status)


def begin(box, name, command="echo begun; exec sleep 4445"):
    """A command that runs until something happens to it."""
    proc = box.popen(name, command, stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    return proc


def struck(proc, since):
    """Its end."""
    err = proc.communicate(timeout=60)[1].decode(errors="replace")
    return Told(err, time.monotonic() - since, proc.returncode)


def why(box, name):
    """The end that `hawserctl why` tells of; None where it knows none."""
    reply = json.loads(box.ctl("why", name, "--json").text)
    return reply["items"][0] if reply["ok"] else None


def told_by_why(box, name, seconds):
    """For ends that no running client reads: the words of `hawserctl why`."""
    end = wait_for(lambda: why(box, name), f"an end of {name}")
    return Told(f"hawser: {end['text']}\nhawser: {end['hint'] or ''}\n", seconds)


def judge(box, row, told, name="h"):
    """row: (cause, provoked by, classes, words that text and next step have)."""
    cause, how, classes, words = row
    end = why(box, name)
    found = end["class"] if end else None
    record(cause, how, found or "(not in the journal)", told)
    assert told.status != 0, (cause, told.err)
    assert told.text and told.hint, (cause, told.err)
    # ("Connection to h closed." is ssh's goodbye after a terminal, beside all this.)
    assert not any(BARE.fullmatch(line) for line in (told.text, told.hint)), told.err
    if classes:
        assert found in classes, (cause, found, told.err)
    for word in words:
        assert re.search(word, told.text + "\n" + told.hint), (cause, word, told.err)


def record(cause, how, cls, told):
    if not TABLE:
        return
    # Names and ports of one run mean nothing to a reader.
    def plain(text):
        text = re.sub(r"hwt\d+", "user", text)
        text = re.sub(r"/tmp/hw-\S+?/([\w.]+)(?=[\s:;,)]|$)", r"~/\1", text)
        text = re.sub(r"SHA256:[\w+/]{43}", "SHA256:...", text)
        return re.sub(r":\d{5}\b", ":22", re.sub(r"port \d{5}\b", "port 22", text)).replace(
            "|", "\\|")
    path = pathlib.Path(TABLE)
    with open(path, "a") as f:
        if f.tell() == 0:
            f.write(HEADING)
        f.write(f"| {cause} | {how} | `{cls}` | {plain(told.text)} | {plain(told.hint)} | "
                f"{told.seconds:.1f} s |\n")


# ---- what does it ----------------------------------------------------------------------------

class Relay:
    """A relay to a server that does harm to the connections through it, once told to."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server_port, self.damage, self.pairs = port, False, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.server_port))
            self.pairs.append((client, server))
            for a, b, down in (client, server, False), (server, client, True):
                threading.Thread(target=self.relay, args=(a, b, down), daemon=True).start()

    def relay(self, a, b, down):
        try:
            while data := bytearray(a.recv(65536)):
                if self.damage and down:
                    self.damage = False
                    data[-1] ^= 0x55  # of a MAC
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self, reset=False):
        """Ends all connections, politely or by a reset."""
        for client, server in self.pairs:
            for s in (client, server):
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # close() alone would wait for the thread that reads.
                with contextlib.suppress(OSError):  # the other side has ended already
                    s.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                s.close()
        self.pairs.clear()


class Speaker:
    """No SSH server: says its words to whoever comes, and hangs up (or waits)."""

    def __init__(self, words=b"", hold=False):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.words, self.hold, self.held = words, hold, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            if self.hold:
                self.held.append(peer)
                continue
            try:
                peer.sendall(self.words)
                peer.shutdown(socket.SHUT_WR)
                peer.recv(4096)
            except OSError:
                pass
            peer.close()
