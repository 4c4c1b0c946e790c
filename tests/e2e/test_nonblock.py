"""O_NONBLOCK never appears on a descriptor that the caller's other processes share."""
import fcntl
import os
import pty
import socket
import subprocess
import threading

import pytest

from util import pattern

# The test keeps every descriptor that it hands to hawser: the open file description is shared,
# so a flag that anybody sets on it is seen here.


class Watcher:
    """Looks at the flags of shared descriptors until it is stopped."""

    def __init__(self, *fds):
        self.fds, self.seen, self.done = fds, [], threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        while not self.done.is_set():
            self.check()

    def check(self):
        for fd in self.fds:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK:
                self.seen.append(fd)
        self.done.wait(0.0005)

    def stop(self):
        self.done.set()
        self.thread.join()
        self.check()
        return self.seen


def pump(fd, sink):
    while True:
        try:
            block = os.read(fd, 65536)
        except OSError:
            return
        if not block:
            return
        sink.append(block)


def feed(fd, data):
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view[:65536]):]
    except OSError:
        pass


@pytest.mark.core
def test_pipes(warm):
    """stdin, stdout and stderr as pipes that the caller keeps open."""
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = (os.pipe() for _ in "123")
    watcher = Watcher(in_read, out_write, err_write)
    proc = warm.popen("h", "echo x >&2; cat; exit 3", stdin=in_read, stdout=out_write,
                      stderr=err_write)
    got, data = [], pattern(3 << 20)
    reader = threading.Thread(target=pump, args=(out_read, got))
    reader.start()
    feed(in_write, data)
    os.close(in_write)
    assert proc.wait(30) == 3
    seen = watcher.stop()
    for fd in (out_write, err_write, in_read):
        os.close(fd)
    reader.join()
    os.close(out_read)
    os.close(err_read)
    assert seen == [] and b"".join(got) == data


@pytest.mark.core
@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_sockets(warm, family):
    """Sockets cannot be reopened: they must be used without touching their flags."""
    if family == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
    watcher = Watcher(theirs.fileno())
    proc = warm.popen("h", "cat", stdin=theirs.fileno(), stdout=theirs.fileno())
    got, data = [], pattern(3 << 20)
    reader = threading.Thread(target=pump, args=(ours.fileno(), got))
    reader.start()
    ours.sendall(data)
    ours.shutdown(socket.SHUT_WR)
    assert proc.wait(30) == 0
    seen = watcher.stop()
    theirs.close()
    reader.join()
    ours.close()
    assert seen == [] and b"".join(got) == data


@pytest.mark.core
@pytest.mark.parametrize("option", ["-tt", "-T"])
def test_terminal(warm, option):
    """A terminal that shell and client share."""
    master, slave = pty.openpty()
    watcher = Watcher(slave)
    got = []
    reader = threading.Thread(target=pump, args=(master, got))
    reader.start()
    proc = warm.popen(option, "h", "seq 5000; exit 3", stdin=slave, stdout=slave, stderr=slave)
    assert proc.wait(30) == 3
    seen = watcher.stop()
    os.close(slave)
    reader.join()
    os.close(master)
    assert seen == [] and b"5000" in b"".join(got)


def test_files(warm):
    """Regular files and /dev/null."""
    source = warm.dir / "source"
    source.write_bytes(pattern(1 << 20))
    with open(source, "rb") as stdin, open(warm.dir / "out", "wb") as stdout, \
            open("/dev/null", "wb") as stderr:
        watcher = Watcher(stdin.fileno(), stdout.fileno(), stderr.fileno())
        assert warm.run("h", "cat", stdin=stdin, stdout=stdout, stderr=stderr).status == 0
        assert watcher.stop() == []
    assert (warm.dir / "out").read_bytes() == source.read_bytes()


def test_named_pipe(warm):
    """A FIFO that the caller has open for both."""
    path = warm.dir / "fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    watcher = Watcher(fd)
    proc = warm.popen("h", "echo through", stdout=fd)
    assert proc.wait(30) == 0
    assert watcher.stop() == []
    assert os.read(fd, 100) == b"through\n"
    os.close(fd)


def test_after_a_kill(warm):
    """kill -9 of the client leaves no flag behind."""
    read_end, write_end = os.pipe()
    ours, theirs = socket.socketpair()
    watcher = Watcher(read_end, write_end, theirs.fileno())
    proc = warm.popen("h", "echo x; exec sleep 8880", stdin=read_end, stdout=theirs.fileno(),
                      stderr=write_end)
    assert ours.recv(10) == b"x\n"
    proc.kill()
    proc.wait()
    assert watcher.stop() == []
    for fd in (read_end, write_end):
        os.close(fd)
    ours.close()
    theirs.close()


def test_flag_that_was_there_stays(warm):
    """A caller's own O_NONBLOCK is left alone, and the data still arrives."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    assert warm.run("h", "echo x", stdout=write_end).status == 0
    assert not os.get_blocking(write_end) and os.read(read_end, 10) == b"x\n"
    os.close(read_end)
    os.close(write_end)


def test_ssh_itself_is_the_bad_example(warm):
    """The check can fail: a program that sets the flag on its stdout is seen."""
    read_end, write_end = os.pipe()
    watcher = Watcher(write_end)
    subprocess.run(["/usr/bin/python3", "-c", "import os, select; os.set_blocking(1, False);"
                    "select.select([], [], [], 0.1); os.set_blocking(1, True)"],
                   stdout=write_end, check=True)
    assert watcher.stop() != []
    os.close(read_end)
    os.close(write_end)
