"""X11 forwarding (-X, -Y): each session's programs reach the display of their own client."""
import os
import shutil
import subprocess

import pexpect
import pytest

from util import die_with_parent, holds_for, wait_for

oracle = pytest.mark.oracle
needs = [name for name in ("Xvfb", "xauth", "xdpyinfo") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(needs), reason="no X server or X programs here")
COOKIE = "MIT-MAGIC-COOKIE-1"


class Display:
    """A real X server with a cookie of its own, known to one client's XAUTHORITY."""

    def __init__(self, box, name, width):
        self.box, self.name = box, name
        self.file = str(box.dir / f"{name}.xauth")
        self.size = f"{width}x300"
        self.cookie = os.urandom(16).hex()
        read, write = os.pipe()
        server_file = str(box.dir / f"{name}.server")
        self.xauth("-f", server_file, "add", ":0", ".", self.cookie)
        self.proc = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", self.size + "x24", "-auth",
             server_file, "-listen", "tcp", "-noreset"], env=box.env, pass_fds=[write],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        box.clients.append(self.proc)
        os.close(write)
        with os.fdopen(read) as f:
            self.number = int(f.readline())
        self.display = f":{self.number}"
        self.xauth("-f", self.file, "add", self.display, ".", self.cookie)
        self.env = {"DISPLAY": self.display, "XAUTHORITY": self.file}

    def xauth(self, *words):
        subprocess.run(["xauth", "-q", *words], env=self.box.env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def x(bare):
    """A server that forwards X11, and one display."""
    bare.sshd = bare.server(X11Forwarding="yes", XAuthLocation=shutil.which("xauth"))
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    bare.one = Display(bare, "one", 311)
    yield bare
    # What xauth(1) of the remote account has left.
    for left in bare.account.home.glob(".Xauthority*"):
        left.unlink()


SIZE = "xdpyinfo | grep dimensions"


@oracle
@pytest.mark.parametrize("option", ["-Y", "-X"])
def test_reaches_the_display(x, option):
    """xdpyinfo at the server describes the client's display."""
    for _ in range(2):
        assert x.one.size in x.ok(option, "h", SIZE, env=x.one.env)


@oracle
def test_untrusted(x):
    """ForwardX11Trusted=no: a cookie with the rights of an untrusted client, for each session."""
    out = x.ok("-X", "-o", "ForwardX11Trusted=no", "h", SIZE + "; xdpyinfo | grep -c XTEST; true",
               env=x.one.env)
    assert x.one.size in out and out.endswith("\n0\n")
    assert "1" == x.ok("-Y", "h", "xdpyinfo | grep -c XTEST", env=x.one.env).strip()
    assert not list((x.dir / "tmp").iterdir())


@oracle
def test_two_displays_at_once(x):
    """Two clients, two displays, at the same time; each one's programs land on its own."""
    displays = [x.one, Display(x, "two", 422)]
    procs = [x.popen("-Y", "h", "echo $DISPLAY; read go; " + SIZE, env=d.env,
                     stdin=subprocess.PIPE, bufsize=0) for d in displays]
    seen = [proc.stdout.readline() for proc in procs]
    assert len(set(seen)) == 2 and all(b"localhost:" in s for s in seen)
    for display, proc in reversed(list(zip(displays, procs))):
        out, _ = proc.communicate(b"go\n", timeout=30)
        assert display.size.encode() in out


@oracle
def test_display_by_tcp(x):
    """A display of this machine by name, and one that is not there: the program hears its end."""
    env = {**x.one.env, "DISPLAY": f"localhost:{x.one.number}.0"}
    assert x.one.size in x.ok("-Y", "h", SIZE, env=env)
    for display in ("localhost:59000", ":59000"):
        gone = x.run("-Y", "h", "xdpyinfo; true", env={**x.one.env, "DISPLAY": display})
        assert gone.status == 0 and gone.text == "" and "connect" in gone.err
    odd = x.run("-Y", "h", "xdpyinfo; true", env={**x.one.env, "DISPLAY": ":x"})
    assert "Could not parse display number from DISPLAY" in odd.err


def test_one_transport(x):
    """Displays are the sessions' own affair: clients of different displays share a transport."""
    two = Display(x, "two", 422)
    x.ok("-Y", "h", SIZE, env=two.env)
    assert x.one.size in x.ok("-Y", "h", SIZE, env=x.one.env)
    x.ok("h", "true")
    assert x.sshd.logins() == 1


@oracle
def test_not_asked_for(x):
    """Without -X, and with -x, there is no DISPLAY."""
    for words in ([], ["-Y", "-x"]):
        assert x.ok(*words, "h", "echo \"<$DISPLAY>\"", env=x.one.env) == "<>\n"
    assert x.ok("-Y", "h", "echo \"<$DISPLAY>\"", env={"DISPLAY": None}) == "<>\n"


@oracle
def test_words(x):
    """ssh's words: no cookie made, none found, a display that makes no sense."""
    gone = {"DISPLAY": ":987", "XAUTHORITY": str(x.dir / "none")}
    show = "echo \"<$DISPLAY>\""
    untrusted = x.run("-o", "ForwardX11=yes", "-o", "ForwardX11Trusted=no", "h", show, env=gone)
    assert untrusted.text == "<>\n" and untrusted.status == 0
    assert "Warning: untrusted X11 forwarding setup failed: xauth key data not generated" \
        in untrusted.err
    trusted = x.run("-Y", "h", show, env=gone)
    assert "localhost:" in trusted.text
    assert "Warning: No xauth data; using fake authentication data for X11 forwarding." \
        in trusted.err
    odd = x.run("-Y", "h", show, env={**gone, "DISPLAY": ":0;date"})
    assert odd.text == "<>\n"
    assert "DISPLAY \":0;date\" invalid; disabling X11 forwarding" in odd.err
    quiet = x.run("-q", "-Y", "h", show, env=gone)
    assert quiet.err == ""


@oracle
def test_refused_by_the_server(bare):
    """X11Forwarding no: a warning, and the session runs."""
    server = bare.server(X11Forwarding="no")
    bare.trust(server)
    bare.host("h", server)
    bare.start_daemon()
    one = Display(bare, "one", 311)
    result = bare.run("-Y", "h", "echo \"<$DISPLAY>\"", env=one.env)
    assert result.status == 0 and result.text == "<>\n"
    assert "X11 forwarding request failed on channel 0" in result.err


# A program of our own at the server's side: the first packet with whatever cookie.
KNOCK = r"""
import os, socket, struct, sys
number = int(os.environ["DISPLAY"].split(":")[1].split(".")[0])
s = socket.create_connection(("localhost", 6000 + number))
proto, data = %r.encode(), bytes.fromhex(%r)
pad = lambda b: b + bytes(-len(b) %% 4)
s.sendall(struct.pack("<BxHHHHxx", 0x6c, 11, 0, len(proto), len(data)) + pad(proto) + pad(data))
s.settimeout(20)
print("answer", len(s.recv(100)))
"""


def knock(x, *options, proto=COOKIE, data="00" * 16):
    script = x.dir / "knock.py"
    script.write_text(KNOCK % (proto, data))
    return x.run(*options, "-Y", "h", f"python3 {script}", env=x.one.env)


@oracle
def test_wrong_cookie(x):
    """A program that shows another cookie, even the display's own, is refused, in ssh's words."""
    for proto, data in ((COOKIE, "00" * 16), (COOKIE, x.one.cookie), ("", ""),
                        ("XDM-AUTHORIZATION-1", "00" * 16)):
        result = knock(x, proto=proto, data=data)
        assert result.text == "answer 0\n"
        assert "X11 connection rejected because of wrong authentication." in result.err


@oracle
def test_timeout(x):
    """After ForwardX11Timeout new connections of an untrusted session are refused."""
    proc = x.popen("-X", "-o", "ForwardX11Trusted=no", "-o", "ForwardX11Timeout=1", "h",
                   SIZE + "; echo up; read go; for i in $(seq 100); do xdpyinfo >/dev/null 2>&1 ||"
                   " { echo refused; break; }; sleep 0.1; done", env=x.one.env,
                   stdin=subprocess.PIPE, bufsize=0)
    assert x.one.size.encode() in proc.stdout.readline()
    out, _ = proc.communicate(b"go\n", timeout=40)
    assert b"refused" in out


# Connections that say nothing, as any user of the server's can make them, then one that does.
SILENT = r"""
import os, socket, subprocess
number = int(os.environ["DISPLAY"].split(":")[1].split(".")[0])
held = [socket.create_connection(("localhost", 6000 + number)) for _ in range(70)]
subprocess.run("xdpyinfo | grep dimensions", shell=True, timeout=10)
"""


@oracle
def test_silent_connections(x):
    """Who says nothing does not keep others out."""
    proc = x.popen("-Y", "h", "exec python3 -", env=x.one.env, stdin=subprocess.PIPE)
    out, _ = proc.communicate(SILENT.encode(), timeout=40)
    assert x.one.size in out.decode()


# An X client at the server's side that stays connected, in the background, until a file is there.
HOLD = r"""
import os, socket, struct, subprocess, sys, time
number = int(os.environ["DISPLAY"].split(":")[1].split(".")[0])
line = subprocess.run(["xauth", "list", os.environ["DISPLAY"]], capture_output=True,
                      text=True).stdout.split()
proto, data = line[1].encode(), bytes.fromhex(line[2])
s = socket.create_connection(("localhost", 6000 + number))
pad = lambda b: b + bytes(-len(b) % 4)
s.sendall(struct.pack("<BxHHHHxx", 0x6c, 11, 0, len(proto), len(data)) + pad(proto) + pad(data))
assert s.recv(100)
print("up", flush=True)
if os.fork() == 0:
    for fd in range(3):
        os.close(fd)
    os.setsid()
    s.settimeout(0.05)
    while not os.path.exists(sys.argv[1]):
        try:
            if not s.recv(1000):
                break
        except TimeoutError:
            pass
"""


def holder(x):
    script = x.dir / "hold.py"
    script.write_text(HOLD)
    return script


@oracle
def test_waits_for_programs(x):
    """A session whose X programs still run is over when they are; its output came before."""
    go = x.dir / "go"
    proc = x.popen("-Y", "h", f"python3 {holder(x)} {go}; exit 4", env=x.one.env)
    assert proc.stdout.readline() == b"up\n"
    holds_for(lambda: proc.poll() is None, 0.5, "the session is over too early")
    go.touch()
    assert proc.wait(20) == 4


def test_leaving_while_programs_run(x):
    """On a terminal a person is told what is waited for, and ~. leaves all the same."""
    term = x.spawn("-Y", "-t", "h", f"python3 {holder(x)} {x.dir}/go", env=x.one.env)
    term.expect_exact("waiting for X11 programs that still run")
    term.send("\r~.")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


def test_killed_client_takes_its_programs_along(x):
    """The end of a client closes its X connections, and nothing stays behind in the daemon."""
    x.ok("-Y", "h", SIZE, env=x.one.env)
    before = len(x.daemon_fds())
    proc = x.popen("-Y", "h", f"python3 {holder(x)} {x.dir}/go; cat", env=x.one.env,
                   stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"up\n"
    proc.kill()
    wait_for(lambda: len(x.daemon_fds()) <= before, "the descriptors' end")
    assert x.one.size in x.ok("-Y", "h", SIZE, env=x.one.env)


@oracle
def test_server_dies(x):
    """A lost connection ends the session although an X program was connected."""
    proc = x.popen("-Y", "h", f"python3 {holder(x)} {x.dir}/go; cat", env=x.one.env,
                   stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"up\n"
    x.sshd.cut()
    assert proc.wait(20) == 255
