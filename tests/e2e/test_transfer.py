"""Bulk data: sizes around every window, checksums both ways, all kinds of descriptors."""
import os
import socket
import subprocess
import threading

import pytest

from util import pattern, sha, sha_file

pytestmark = pytest.mark.oracle

# Windows on the way: 64000 is what libssh opens with, 1280000 what it grows to, 2097152 is
# OpenSSH's; 65536 is a pipe's size, 32768 OpenSSH's packet.
WINDOWS = (32768, 64000, 65536, 1280000, 2097152)
SIZES = [0, 1] + sorted({w + d for w in WINDOWS for d in (-1, 0, 1)})
BIG = 100 << 20


@pytest.mark.core
@pytest.mark.parametrize("size", SIZES)
def test_echo_of_each_size(warm, size):
    """cat gives back exactly what it was sent."""
    data = pattern(size)
    out = warm.run("h", "cat", input=data).out
    assert len(out) == size and sha(out) == sha(data)


def test_all_sizes_down(warm):
    """head -c N gives N bytes, for each size, on one warm transport."""
    for size in SIZES:
        assert len(warm.run("h", f"head -c {size} /dev/zero").out) == size


@pytest.fixture(scope="module")
def big_file(folder):
    """100 MB that do not repeat, readable by the account."""
    path = folder / "big"
    path.write_bytes(pattern(BIG, 7))
    path.chmod(0o644)
    yield path
    path.unlink()


def test_100_mb_down_to_a_pipe(warm, big_file):
    """100 MB through a pipe, by checksum."""
    proc = warm.popen("h", f"cat {big_file}")
    digest = subprocess.run(["sha256sum"], stdin=proc.stdout, capture_output=True, timeout=120)
    assert proc.wait(60) == 0
    assert digest.stdout.split()[0].decode() == sha_file(big_file)


def test_100_mb_down_to_a_file(warm, big_file):
    """100 MB into a regular file."""
    target = warm.dir / "down"
    with open(target, "wb") as f:
        assert warm.run("h", f"cat {big_file}", stdout=f, timeout=120).status == 0
    assert sha_file(target) == sha_file(big_file)


def test_100_mb_up_from_a_file(warm, big_file):
    """100 MB from a regular file, whose offset ends where reading did."""
    with open(big_file, "rb") as f:
        out = warm.run("h", "sha256sum", stdin=f, timeout=120).text
    assert out.split()[0] == sha_file(big_file)


def test_100_mb_up_from_a_pipe(warm, big_file):
    """100 MB from a pipe."""
    with subprocess.Popen(["cat", str(big_file)], stdout=subprocess.PIPE) as source:
        out = warm.run("h", "sha256sum", stdin=source.stdout, timeout=120).text
        source.stdout.close()
    assert out.split()[0] == sha_file(big_file)


def test_both_directions_at_once(warm):
    """20 MB through a remote cat, both directions flowing at the same time."""
    data = pattern(20 << 20, 3)
    assert sha(warm.run("h", "cat", input=data, timeout=120).out) == sha(data)


def test_several_at_once(warm):
    """Six transfers on one transport, up and down, each complete."""
    data = pattern(5 << 20, 1)
    results = {}

    def one(index):
        results[index] = sha(warm.run("h", "cat", input=data, timeout=120).out)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {i: sha(data) for i in range(6)}


def test_from_and_to_sockets(warm):
    """stdin and stdout as sockets, as inetd and some scripts hand them over."""
    data = pattern(3 << 20, 2)
    ours, theirs = socket.socketpair()
    proc = warm.popen("h", "cat", stdin=theirs.fileno(), stdout=theirs.fileno())
    theirs.close()

    def send():
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    got = bytearray()
    ours.settimeout(60)
    while block := ours.recv(1 << 16):
        got += block
    sender.join()
    assert proc.wait(60) == 0 and sha(bytes(got)) == sha(data)


def test_tcp_socket_as_stdio(warm):
    """The same with a TCP socket."""
    data = pattern(1 << 20, 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    proc = warm.popen("h", "cat", stdin=theirs.fileno(), stdout=theirs.fileno())
    theirs.close()
    sender = threading.Thread(target=lambda: (ours.sendall(data), ours.shutdown(socket.SHUT_WR)))
    sender.start()
    got = bytearray()
    ours.settimeout(60)
    while block := ours.recv(1 << 16):
        got += block
    sender.join()
    ours.close()
    assert proc.wait(60) == 0 and sha(bytes(got)) == sha(data)


def test_from_and_to_named_pipes(warm):
    """FIFOs on both ends."""
    for name in ("in", "out"):
        os.mkfifo(warm.dir / name)
    data = pattern(1 << 20, 5)
    script = "%s h cat <%s/in >%s/out" % (" ".join(warm.command()), warm.dir, warm.dir)
    shell = subprocess.Popen(["sh", "-c", script], env=warm.env)
    warm.clients.append(shell)

    def feed():
        with open(warm.dir / "in", "wb") as f:
            f.write(data)
    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(warm.dir / "out", "rb") as f:
        got = f.read()
    feeder.join()
    assert shell.wait(60) == 0
    assert (len(got), sha(got)) == (len(data), sha(data))


def test_append_and_truncate_keep_their_meaning(warm):
    """>> appends, > truncates: the caller's descriptor is used as it was opened."""
    target = warm.dir / "log"
    h = " ".join(warm.command())
    subprocess.run(["sh", "-c", f"echo 0 >{target}; {h} h 'echo 1' >>{target};"
                    f"{h} h 'echo 2' >>{target}"], env=warm.env, check=True, timeout=60)
    assert target.read_text() == "0\n1\n2\n"


def test_file_input_is_shared_with_the_next_command(warm):
    """Two commands of a group take turns on one input file, as with ssh (which reads all)."""
    source = warm.dir / "lines"
    source.write_text("a\nb\n")
    script = "{ %s h cat; echo local; cat; } <%s" % (" ".join(warm.command()), source)
    done = subprocess.run(["sh", "-c", script], env=warm.env, capture_output=True, timeout=60)
    assert done.stdout == b"a\nb\nlocal\n"


def test_dev_full_as_stdout(warm):
    """A full disk behind stdout: the client ends, with failure or the remote status, and soon."""
    with open("/dev/full", "wb") as full:
        result = warm.run("h", "head -c 100000 /dev/zero", stdout=full, timeout=30)
    assert result.status is not None


def test_stderr_between_stdout_under_back_pressure(warm):
    """Both streams full at once, read late: every byte of both arrives."""
    script = ("i=0; while [ $i -lt 40 ]; do head -c 65536 /dev/zero; "
              "head -c 32768 /dev/zero | tr '\\0' e >&2; i=$((i+1)); done")
    proc = warm.popen("h", script)
    sizes = {}

    def drain(name, stream):
        sizes[name] = len(stream.read())
    # stderr is read only when stdout has been: the one must not hold up the other for ever
    out = threading.Thread(target=drain, args=("out", proc.stdout))
    err = threading.Thread(target=drain, args=("err", proc.stderr))
    err.start()
    out.start()
    out.join()
    err.join()
    assert proc.wait(60) == 0
    assert sizes == {"out": 40 * 65536, "err": 40 * 32768}


@pytest.mark.parametrize("chunk", [1, 7, 4095])
def test_odd_chunks(warm, chunk):
    """Input in small odd pieces arrives in order."""
    proc = warm.popen("h", "cat", stdin=subprocess.PIPE)
    data = pattern(chunk * 300, chunk)
    got = []
    reader = threading.Thread(target=lambda: got.append(proc.stdout.read()))
    reader.start()
    for at in range(0, len(data), chunk):
        os.write(proc.stdin.fileno(), data[at:at + chunk])
    proc.stdin.close()
    reader.join()
    assert proc.wait(60) == 0 and got[0] == data


def test_interactive_ping_pong_through_pipes(warm):
    """One line there, one line back, fifty times: nothing waits for a full buffer."""
    proc = warm.popen("h", "while read line; do echo \"got $line\"; done", stdin=subprocess.PIPE)
    for i in range(50):
        os.write(proc.stdin.fileno(), b"%d\n" % i)
        assert proc.stdout.readline() == b"got %d\n" % i
    proc.stdin.close()
    assert proc.wait(30) == 0
