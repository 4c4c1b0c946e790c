"""Sticky shells on a terminal, and ways to take their connection away."""
import contextlib
import itertools
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pexpect

from util import stat_fields, words_of


def serve(box, **options):
    """A box with one server, its host h, and the daemon."""
    box.sshd = box.server(**options)
    box.trust(box.sshd)
    box.host("h", box.sshd)
    box.start_daemon()
    return box


def folder(pid):
    """Of the shell of that pid: its multiplexer's or wrapper's words name it."""
    name = re.search(r"inner ([0-9a-f]{32})", words_of(parent(pid)))[1]
    return pathlib.Path(f"/tmp/hawser-{name}")


def parent(pid):
    return int(stat_fields(pid)[1])


def sticky(box, *args, **kw):
    """A sticky shell with a prompt of ours."""
    term = box.spawn("--sticky", *args, "h", **kw)
    term.expect(r"[$#] ")
    term.send("HISTFILE= PS1='remote> ' exec bash --norc --noprofile -i\r")
    term.expect(r"remote> ")
    return term


def leave(term):
    """Ends the shell, so that nothing of it stays in /tmp."""
    term.send("exit\r")
    term.expect(pexpect.EOF)


def is_sshd(pid):
    return words_of(pid).startswith("sshd:")


def cut(box):
    """The connections end; what runs in them hears of it as it would of a real loss."""
    box.sshd.cut(is_sshd)


def stop(box):
    """The same, and no new ones are taken."""
    box.sshd.stop(wanted=is_sshd)


def drop(box, term):
    """Ends the connection under it, and waits until it is attached again."""
    cut(box)
    term.expect(r"hawser: .*reconnecting \(~\. ends it\)")
    term.expect(r"hawser: attached to .* again after \d+ s")


def ask(term, words, numbers=itertools.count(1)):
    """What the shell says to echo WORDS; numbered, for a redrawn screen shows the last answer."""
    number = next(numbers)
    term.send(f"echo '<{number}:'{words}'>'\r")
    term.expect(rf"<{number}:([^>'\r\n]*)>")
    return term.match[1].decode()


def end(where):
    """Of a shell that was left there."""
    assert where.exists()
    subprocess.run(["tmux", "-S", str(where / "t"), "kill-server"], check=True)
    shutil.rmtree(where)


@contextlib.contextmanager
def full(where, owner):
    """A disk of one block lies over the directory, and of two files: they fill it."""
    size = f"size=4k,nr_inodes=3,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


class Hole:
    """A port of 127.0.0.1 that leads to another, and whose answers can be swallowed."""

    def __init__(self, target):
        self.target, self.swallowing, self.pairs = target, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((near, far))
            for pair in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source, sink, answers):
        try:
            while data := source.recv(65536):
                if not (answers and self.swallowing):
                    sink.sendall(data)
        except OSError:
            pass

    def swallow(self):
        self.swallowing = True

    def end(self):
        """The connections end; those that follow are as they should be."""
        self.swallowing = False
        for pair in self.pairs:
            for end in pair:
                end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
