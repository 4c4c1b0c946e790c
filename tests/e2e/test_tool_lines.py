"""The exact command lines that tools send, each with a real effect. native as in oracle.py."""
import os
import shlex
import subprocess

import pytest

from daemon import HAWSER
from oracle import TALK, Service, handing_over, quiet_port
from util import pattern, read_text


class Peer:
    """A client whose other end is spoken to, as tools do. Every test has a deadline (conftest)."""

    def __init__(self, box, *words, native=True, env=None, stderr=subprocess.PIPE):
        self.proc = box.popen(*words, stdin=subprocess.PIPE, stderr=stderr, bufsize=0,
                              env={**handing_over(native), **(env or {})})

    def say(self, data):
        self.proc.stdin.write(data)

    def hear(self, size):
        data = b""
        while len(data) < size:
            more = self.proc.stdout.read(size - len(data))
            assert more, f"ended after {data!r}: {self.proc.stderr.read()!r}"
            data += more
        return data

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            data += self.hear(1)
        return data

    def end(self):
        """Closes the input; returns (status, the rest of the output, stderr)."""
        out, err = self.proc.communicate()
        return self.proc.returncode, out, err


def one_login(box):
    assert box.sshd.logins() == 1, read_text(box.sshd.log)


@pytest.fixture
def far(box):
    """A folder of the account's, and a server whose commands find `docker` in it."""
    folder = box.account.home / "far"
    folder.mkdir(exist_ok=True)
    os.chown(folder, box.account.uid, box.account.gid)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


# ---- Ansible ---------------------------------------------------------------------------------

def ansible(box, *rest, control=True):
    """What its ssh plugin puts in front of the host."""
    path = box.dir / "cp"
    path.mkdir(exist_ok=True)
    return ["-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s",
            "-o", f"Port={box.sshd.port}", "-o", f'IdentityFile="{box.keys.user}"',
            "-o", "KbdInteractiveAuthentication=no", "-o",
            "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey",
            "-o", "PasswordAuthentication=no", "-o", f'User="{box.account.name}"',
            "-o", "ConnectTimeout=10", "-o", f'ControlPath="{path}/%h-%r"', *rest]


def wrapped(command):
    return "/bin/sh -c " + shlex.quote(command)


@pytest.mark.core
def test_ansible_command(box):
    """Its first command: where is home?"""
    name = box.account.name
    result = box.run(*ansible(box), "h", wrapped(f"echo ~{name} && sleep 0"))
    assert (result.status, result.text, result.err) == (0, f"{box.account.home}\n", "")
    result = box.run(*ansible(box), "h", wrapped("( umask 77 && mkdir -p \"` echo /tmp `\" && "
                                                 "echo dir=\"` echo /tmp `\" ) && sleep 0"))
    assert result.text == "dir=/tmp\n"
    assert not list((box.dir / "cp").iterdir())
    one_login(box)


def test_ansible_pipelining(box):
    """A module on the input of the remote Python."""
    module = b"import json\nprint(json.dumps({'ping': 'pong'}))\nraise SystemExit(3)\n"
    for _ in range(2):
        result = box.run(*ansible(box), "h", wrapped("/usr/bin/python3 && sleep 0"), input=module)
        assert (result.status, result.text, result.err) == (3, '{"ping": "pong"}\n', "")
    one_login(box)


def test_ansible_become(box):
    """-tt, as with become: a terminal, its input a pipe that stays open."""
    peer = Peer(box, *ansible(box, "-tt"), "h", wrapped(
        "stty -echo; echo BECOME-SUCCESS; read word; echo got:$word; test -t 0") + " && sleep 0")
    assert peer.line() == b"BECOME-SUCCESS\r\n"
    peer.say(b"secret\n")
    assert peer.line() == b"got:secret\r\n"
    status, out, _ = peer.end()
    assert (status, out) == (0, b"")
    one_login(box)


def test_ansible_vvv(box):
    """-vvv of ansible is ssh's -vvv: stdout stays what the command printed."""
    result = box.run(*ansible(box, "-vvv"), "h", wrapped("echo out && sleep 0"))
    assert (result.status, result.text) == (0, "out\n") and result.err
    one_login(box)


def test_ansible_unreachable(box):
    """255 and a sentence make a host unreachable; another status would be the command's."""
    result = box.run(*ansible(box), "-o", "HostName=127.0.0.1", "-p", "1", "h", "true",
                     env={"HAWSER_FALLBACK": "no"})
    assert result.status == 0  # the first Port counts, as with ssh
    words = [w.replace(f"Port={box.sshd.port}", "Port=1") for w in ansible(box)]
    result = box.run(*words, "h", wrapped("echo ~ && sleep 0"))
    assert result.status == 255 and "Connection refused" in result.err


def test_ansible_piped_transfer(box, far):
    """transfer_method = piped: dd at the far end."""
    data = pattern(1 << 20, 3)
    line = ansible(box) + ["h"]
    result = box.run(*line, f"dd of={far}/file bs=65536", input=data)
    assert result.status == 0 and (far / "file").read_bytes() == data
    result = box.run(*line, f"dd if={far}/file bs=65536")
    assert result.status == 0 and result.out == data
    one_login(box)


def test_ansible_sftp(box, far):
    """Its sftp with a batch on stdin, and the same options."""
    (box.dir / "module").write_bytes(pattern(70000, 4))
    program = box.dir / "ssh"
    program.write_text(f'#!/bin/sh\nexec {HAWSER} -F {box.config} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["sftp", "-S", str(program), "-b", "-", *ansible(box), "[h]"], env=box.env,
        input=f"put {box.dir}/module {far}/AnsiballZ_ping.py\n".encode(), capture_output=True)
    assert done.returncode == 0, done
    assert (far / "AnsiballZ_ping.py").read_bytes() == pattern(70000, 4)
    one_login(box)


@pytest.mark.parametrize("verb", ["check", "stop"])
def test_ansible_control(box, verb):
    """meta: reset_connection asks -O check and then -O stop; without a master both give 255."""
    path = box.dir / "cp"
    path.mkdir()
    result = box.run("-O", verb, "-o", f'ControlPath="{path}/none"', "h",
                     env=handing_over(False))
    assert result.status == 255 and result.out == b""


# ---- git -------------------------------------------------------------------------------------

@pytest.fixture
def repository(box, far):
    path = far / "r.git"
    box.ok("h", f"git init -q --bare {path}")
    return path


def packet(text):
    return b"%04x%s" % (len(text) + 4, text)


@pytest.mark.core
def test_git_fetch(box, repository):
    """git fetch's line; the far end speaks version 2 since GIT_PROTOCOL got there. sshd takes only
    variables that it is told to, so it is told."""
    box.sshd.options["AcceptEnv"] = "GIT_PROTOCOL"
    box.sshd.stop()
    box.sshd.start()
    port = str(box.sshd.port)
    line = ["-o", "SendEnv=GIT_PROTOCOL", "-p", port, f"{box.account.name}@h",
            f"git-upload-pack '{repository}'"]
    peer = Peer(box, *line, env={"GIT_PROTOCOL": "version=2"})
    assert peer.line() == packet(b"version 2\n")
    while peer.hear(4) != b"0000":
        peer.line()
    peer.say(packet(b"command=ls-refs\n") + b"0000")
    assert peer.hear(4) == b"0000"
    peer.say(b"0000")
    assert peer.end() == (0, b"", b"")
    peer = Peer(box, "-4", *line, env={"GIT_PROTOCOL": None})
    peer.say(b"0000")
    assert peer.end() == (0, b"0000", b"")  # the first version: no refs


def test_git_push(box, repository):
    """git push's line, a flush packet instead of a push."""
    peer = Peer(box, "-o", "SendEnv=GIT_PROTOCOL", f"{box.account.name}@h",
                f"git-receive-pack '{repository}'")
    assert b"report-status" in peer.line()
    assert peer.hear(4) == b"0000"
    peer.say(b"0000")
    assert peer.end() == (0, b"", b"")
    one_login(box)


def test_git_missing_repository(box):
    """The far end's words and status are git's to show."""
    result = box.run(f"{box.account.name}@h", "git-upload-pack '/no.such/dir.git'")
    assert result.status == 128 and "does not appear to be a git repository" in result.err


def test_git_probe(box):
    """A program that is not called ssh is probed with -G: 0 means OpenSSH's options."""
    result = box.run("-G", "h", env=handing_over(False))
    assert result.status == 0 and "hostname 127.0.0.1" in result.text


# ---- sftp, scp, rsync ------------------------------------------------------------------------
SFTP_INIT = b"\0\0\0\5\1\0\0\0\3"
SCP = ["-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none",
       "-oRequestTTY=no", "-oForwardAgent=no"]
LINES = {
    "sftp": lambda b: ["-oForwardX11 no", "-oPermitLocalCommand no", "-oClearAllForwardings yes",
                       "-obatchmode yes", "-oForwardAgent no", f"-oPort {b.sshd.port}", "-l",
                       b.account.name, "-s", "--", "h", "sftp"],
    "sftp of before 8.7": lambda b: ["-oForwardX11 no", "-oPermitLocalCommand no",
                                     "-oClearAllForwardings yes", "-oControlMaster no",
                                     "-oForwardAgent no", "-l", b.account.name, "-s", "--", "h",
                                     "sftp"],
    "scp": lambda b: [*SCP, "-l", b.account.name, "-s", "--", "h", "sftp"],
    "scp with options": lambda b: [*SCP, "-oControlMaster=no", "-C", "-p", str(b.sshd.port), "-i",
                                   str(b.keys.user), "-s", "--", "h", "sftp"],
}


@pytest.mark.parametrize("tool", LINES)
def test_sftp_subsystem(box, tool):
    """The answer to FXP_INIT is FXP_VERSION, to FXP_REALPATH the home."""
    peer = Peer(box, *LINES[tool](box))
    peer.say(SFTP_INIT)
    size = int.from_bytes(peer.hear(4), "big")
    answer = peer.hear(size)
    assert answer[:5] == b"\2\0\0\0\3" and b"posix-rename@openssh.com" in answer
    peer.say(b"\0\0\0\x0a\x10\0\0\0\1\0\0\0\1.")
    answer = peer.hear(int.from_bytes(peer.hear(4), "big"))
    assert answer[0] == 104 and str(box.account.home).encode() in answer
    assert peer.end() == (0, b"", b"")
    one_login(box)


def test_scp_sink(box, far):
    """scp -O to the server: rcp's words."""
    peer = Peer(box, *SCP, "-l", box.account.name, "--", "h", f"scp -r -p -t {far}")
    assert peer.hear(1) == b"\0"
    for words in (b"T1700000000 0 1700000000 0\n", b"C0640 5 name\n", b"hello\0"):
        peer.say(words)
        assert peer.hear(1) == b"\0"
    assert peer.end() == (0, b"", b"")
    assert (far / "name").read_text() == "hello"
    assert (far / "name").stat().st_mtime == 1700000000
    one_login(box)


def test_scp_source(box, far):
    """scp -O from the server."""
    (far / "name").write_text("hello")
    (far / "name").chmod(0o644)
    peer = Peer(box, *SCP, "-l", box.account.name, "--", "h", f"scp -f {far}/name")
    peer.say(b"\0")
    assert peer.line() == b"C0644 5 name\n"
    peer.say(b"\0")
    assert peer.hear(6) == b"hello\0"
    peer.say(b"\0")
    assert peer.end() == (0, b"", b"")


def test_rsync(box, far):
    """rsync's greeting: each side says its protocol and what it can check with."""
    peer = Peer(box, "-l", box.account.name, "h", "rsync", "--server", "-logDtpre.iLsfxCIvu", ".",
                str(far))
    peer.say(b"\x1f\0\0\0")
    assert 28 <= int.from_bytes(peer.hear(4), "little") < 64
    peer.proc.stdin.close()
    peer.proc.stdin = None
    assert peer.end()[0] != 0  # no transfer follows
    one_login(box)


# ---- docker, VS Code, kitty ------------------------------------------------------------------

def test_docker(box, far):
    """docker -H ssh://...: a stream both ways that is not closed for long."""
    tool = far / "docker"
    tool.write_text('#!/bin/sh\ntest "$*" = "system dial-stdio" && exec cat\n')
    tool.chmod(0o755)
    box.sshd.options["SetEnv"] = f"PATH={far}:/usr/bin:/bin"
    box.sshd.stop()
    box.sshd.start()
    peer = Peer(box, "-o", "ConnectTimeout=30", "-T", "-l", box.account.name, "-p", box.sshd.port,
                "--", "h", "docker", "system", "dial-stdio")
    for i in range(20):
        request = b"GET /_ping%d HTTP/1.1\r\nHost: docker\r\n\r\n" % i
        peer.say(request)
        assert peer.hear(len(request)) == request
    data = pattern(60000, 9)
    peer.say(data)
    assert peer.hear(len(data)) == data
    assert peer.end() == (0, b"", b"")
    one_login(box)


@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_vscode(box, verbose):
    """A shell on stdin, and a SOCKS port beside it."""
    service = Service(box.dir / "service")
    talk = box.dir / "talk"
    talk.write_text(TALK)
    talk.chmod(0o755)
    port = quiet_port()
    try:
        peer = Peer(box, *verbose, "-T", "-D", port, "-o", "ConnectTimeout=15", "h", "bash",
                    native="later", stderr=subprocess.DEVNULL)
        peer.say(b"echo ready: $((6*7))\n")
        assert peer.line() == b"ready: 42\n"
        for word in ("one", "two"):
            done = subprocess.run([str(talk), word, str(port), "localhost", str(service.port)],
                                  capture_output=True, timeout=60)
            assert done.stdout == b"socks 00\nhi %s\n" % word.encode(), done
        peer.say(b"uname -s\nexit 5\n")
        assert peer.line() == b"Linux\n"
        assert peer.end()[:2] == (5, b"")
    finally:
        service.close()
    one_login(box)


def test_version(bare):
    """Tools read "OpenSSH_9.2p1 ..." from -V's stderr."""
    result = bare.run("-V", env=handing_over(False))
    assert result.status == 0 and result.out == b"" and result.err.startswith("OpenSSH_")
