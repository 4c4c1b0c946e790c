"""OpenSSH as the oracle: one command line, run through ssh and through hawser.

A Case is data. What must be equal: the exit status, stdout byte for byte, and stderr line for line,
where "ssh: " and "hawser: " in front of a line do not count. Where both have words of their own for
an error, `says` names what must stand in both; then the rest of stderr is free.

Words, input, environment and expected text may hold @name@, which stands for:
  @dir@ @config@ @key@ @user@ @port@   the world's: folder, ssh_config, key, account, sshd's port
  @refused@                            a port of 127.0.0.1 where nobody listens
  @service@ @servicesock@              a port and a socket that answer "hi WORD" to a line "WORD"
  @taken@                              the same port, named for what it is to a forward: in use
  @silent@ @web@ @closes@              ports without an SSH server (see Odd)
  @hostkey@ @otherkey@ @fingerprint@   the server's key, another, the first one's hash
  @talk@                               a program that asks such a service (see TALK)
  @relay@                              a proxy command (see RELAY)
  @own@ @free@ @free2@ @sock@          this side's: an empty folder, free ports, a path in @own@
  @ssh@                                this side's client with -F CONFIG, as words of a shell
"""
import dataclasses
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pexpect
import pytest

import daemon
from util import SLOW, read_text

SSH = "/usr/bin/ssh"
# What other work makes native ("later") is then held to it as well: HAWSER_FALLBACK=no.
LATER_IS_NATIVE = True
SECONDS = 40  # for one side of one case

TALK = """#!/usr/bin/python3 -SE
# talk WORD PORT|PATH [[4] HOST PORT]: says WORD to the service and prints the answer; with HOST
# through the SOCKS server (of version 4) at PORT. Tries again while nobody listens there yet.
import select, socket, sys
word, at, target = sys.argv[1], sys.argv[2], sys.argv[3:]
for left in range(400, -1, -1):
    s = socket.socket(socket.AF_UNIX if "/" in at else socket.AF_INET)
    try:
        s.connect(at if "/" in at else ("127.0.0.1", int(at)))
        break
    except OSError:
        if left == 0:
            raise
        s.close()
        select.select([], [], [], 0.02)
f = s.makefile("rwb", buffering=0)
def exactly(n):
    data = b""
    while len(data) < n:
        more = f.read(n - len(data))
        if not more:
            break
        data += more
    return data
if target and target[0] == "4":
    f.write(b"\\4\\1" + int(target[2]).to_bytes(2, "big") + socket.inet_aton(target[1]) + b"me\\0")
    print("socks", exactly(8)[1:2].hex())
elif target:
    f.write(b"\\5\\1\\0")
    name = target[0].encode()
    assert exactly(2) == b"\\5\\0", "no SOCKS"
    f.write(b"\\5\\1\\0\\3%c" % len(name) + name + int(target[1]).to_bytes(2, "big"))
    print("socks", exactly(10)[1:2].hex())
try:
    f.write(word.encode() + b"\\n")
    print(exactly(1000).decode(), end="")
except OSError:
    pass
"""

RELAY = """#!/usr/bin/python3 -SE
# relay HOST PORT: what nc does.
import os, select, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    ready = select.select([0, s], [], [])[0]
    for source, sink in ((0, s.fileno()), (s, 1)):
        if source in ready:
            data = os.read(source if source == 0 else s.fileno(), 65536)
            if not data:
                sys.exit()
            while data:
                data = data[os.write(sink, data):]
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One command line. native: must not be handed over to ssh; "later": LATER_IS_NATIVE."""
    id: str
    words: tuple = ()
    stdin: object = None  # None: /dev/null; bytes or str: through a pipe
    env: dict = dataclasses.field(default_factory=dict)  # None as value: not set
    says: tuple = None  # expressions that both must say on stderr; None: the same stderr
    native: object = True
    config: bool = True  # -F CONFIG comes first
    shell: str = None  # run by sh with the client's command line as "$@"
    out: bool = True  # stdout must be the same
    status: int = None  # what both must end with, when it matters that it is this
    prints: str = None  # what must stand in stdout: guards against two equal failures
    files: dict = dataclasses.field(default_factory=dict)  # {name in @own@: content}
    cwd: str = "@own@"
    script: tuple = None  # on a terminal: (what to wait for, what then happens), ...
    why: str = None  # a known difference: xfail


def case(id, *words, **rest):
    return Case(id, words, **rest)


def params(cases):
    """pytest's parameters for a table of cases; two of one name are a mistake."""
    names = [c.id for c in cases]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    return [pytest.param(c, id=c.id, marks=[pytest.mark.xfail(reason=c.why, strict=True)]
                         if c.why else []) for c in cases]


_ports = random.sample(range(20000, 32000), 12000)


def quiet_port():
    """A free port that the kernel gives to nobody on its own: it stays free. Never one twice."""
    while _ports:
        port = _ports.pop()
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no free port")


def handing_over(native):
    """The environment that lets a client become ssh, or forbids it."""
    native = LATER_IS_NATIVE if native == "later" else native
    return {"HAWSER_FALLBACK": "no" if native else None}


class Service:
    """Answers "hi WORD" to a line "WORD" and closes, on a port of localhost and a Unix socket."""

    def __init__(self, path):
        # Of both families, or a forward would find half of its port free.
        self.tcp = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) \
            if socket.has_dualstack_ipv6() else socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(path))
        os.chmod(path, 0o777)
        self.unix.listen(16)
        for listener in (self.tcp, self.unix):
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(s,), daemon=True).start()

    @staticmethod
    def _answer(s):
        with s, s.makefile("rwb") as f:
            try:
                f.write(b"hi " + f.readline())
                f.flush()
            except OSError:
                pass

    def close(self):
        for listener in (self.tcp, self.unix):
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


class Odd:
    """No SSH server: a port that never answers, one that says something else, one that closes."""

    def __init__(self, words):
        self.words = words
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.kept = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            if self.words is None:
                self.kept.append(s)
                continue
            s.sendall(self.words)
            s.shutdown(socket.SHUT_WR)
            self.kept.append(s)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for s in (self.listener, *self.kept):
            s.close()


class World:
    """A box with one server and a held transport, for all cases of a file."""

    def __init__(self, box):
        self.box = box
        # The default key exchange takes ssh 0.1 s of computing, for every single case.
        box.sshd = box.server(MaxSessions="100", KexAlgorithms="curve25519-sha256",
                              HostKeys=("ed25519",), Subsystem=[
                                  "sftp internal-sftp", "hello echo hello-subsystem"])
        box.trust(box.sshd)
        box.host("h", box.sshd)
        self._more_hosts()
        for name, text in (("talk", TALK), ("relay", RELAY)):
            (box.dir / name).write_text(text)
            (box.dir / name).chmod(0o755)
        self.service = Service(box.dir / "service")
        # Bound, not listening: refuses, and nobody else can take it.
        self.dead = socket.socket()
        self.dead.bind(("127.0.0.1", 0))
        self.odd = {"silent": Odd(None), "web": Odd(b"HTTP/1.0 400 Bad Request\r\n\r\nno\r\n"),
                    "closes": Odd(b"")}
        self.names = {
            **{name: odd.port for name, odd in self.odd.items()},
            "fingerprint": re.escape(box.keys.fingerprint("host_ed25519")),
            "dir": box.dir, "config": box.config, "key": box.keys.user, "user": box.account.name,
            "port": box.sshd.port, "refused": self.dead.getsockname()[1],
            "talk": box.dir / "talk", "relay": box.dir / "relay",
            "service": self.service.port, "servicesock": box.dir / "service",
            "taken": self.service.port, "hostkey": box.keys.host_public(),
            "otherkey": box.keys.host_public("rsa"),
        }
        box.start_daemon()
        box.ok("h", "true")
        self.count = itertools.count()
        self.pool = ThreadPoolExecutor(3)
        self.ahead = {}

    def _more_hosts(self):
        box, keys = self.box, self.box.keys
        other = keys.make("id_other")
        wrong = " ".join(read_text(f"{other}.pub").split()[:2])
        (box.dir / "wrong_hosts").write_text(f"[127.0.0.1]:{box.sshd.port} {wrong}\n")
        (box.dir / "no_hosts").write_text("")
        plain = {"BatchMode": "yes"}
        box.host("stranger", box.sshd, UserKnownHostsFile=box.dir / "no_hosts", **plain)
        box.host("changed", box.sshd, UserKnownHostsFile=box.dir / "wrong_hosts", **plain)
        box.host("wrongkey", box.sshd, IdentityFile=other, IdentitiesOnly="yes", **plain)
        box.host("rc", box.sshd, RemoteCommand="echo remote-command")

    def server(self, name, **options):
        """Another server, known as host `name`, its port as @name@."""
        made = self.box.server(KexAlgorithms="curve25519-sha256", HostKeys=("ed25519",), **options)
        self.box.trust(made, ["ed25519"])
        self.box.host(name, made)
        self.names[name] = made.port

    def fill(self, text, names):
        if not isinstance(text, (str, bytes)):
            return text
        if isinstance(text, bytes):
            return re.sub(rb"@(\w+)@", lambda m: str(names.get(m[1].decode(), m[0].decode()))
                          .encode(), text)
        return re.sub(r"@(\w+)@", lambda m: str(names.get(m[1], m[0])), text)

    def side(self, client, case):
        """The names of one side of one case; its own folder is made."""
        own = self.box.dir / f"{client}{next(self.count)}"
        own.mkdir(mode=0o777)
        own.chmod(0o777)
        program = SSH if client == "ssh" else daemon.HAWSER
        names = dict(self.names, own=own, free=quiet_port(), free2=quiet_port(), sock=own / "sock",
                     ssh=f"{program} -F {self.box.config}")
        names["used"] = {"own", *re.findall(r"@(\w+)@", repr(case))}
        for name, content in case.files.items():
            path = own / name
            path.write_text(self.fill(content, names))
            path.chmod(0o755 if content.startswith("#!") else 0o600)
        words = [self.fill(w, names) for w in case.words]
        names["argv"] = [program, *(["-F", str(self.box.config)] if case.config else []), *words]
        env = handing_over(case.native)
        env.update((k, self.fill(v, names)) for k, v in case.env.items())
        names["env"] = self.box.environment(env)
        return names

    def start(self, cases):
        """Runs ssh's side of all cases, in order: most of a login is waiting."""
        for one in cases:
            self.ahead[id(one)] = self.pool.submit(self.run, "ssh", one)

    def run(self, client, case):
        side = run_side if case.script is None else tty_side
        return side(self, case, self.side(client, case))

    def both(self, case):
        """What either side did."""
        hawser = self.run("hawser", case)
        return self.ahead.pop(id(case)).result(), hawser

    def close(self):
        self.pool.shutdown(cancel_futures=True)
        for one in (self.service, *self.odd.values()):
            one.close()
        self.dead.close()


@pytest.fixture(scope="module")
def world(folder, keys, account, request):
    """One server and a held transport for all cases of a file; a file's more_servers(world) may
    start others."""
    box = daemon.Box(folder / "world", keys, account)
    made = None
    try:
        made = World(box)
        getattr(request.module, "more_servers", lambda world: None)(made)
        made.start([item.callspec.params["c"] for item in request.session.items
                    if item.getparent(pytest.Module) is request.node
                    and "world" in item.fixturenames])
        yield made
    finally:
        if made:
            made.close()
        wrong = box.close()
    assert not wrong, "\n".join(wrong)


# ---- one side ------------------------------------------------------------------------------------

@dataclasses.dataclass
class Seen:
    """What a side did, with what is its own named as in the case."""
    status: int
    out: bytes
    err: str

    def __repr__(self):
        return f"<status {self.status} out {self.out[-1500:]!r} err {self.err[-2500:]!r}>"


def named(text, names):
    """The same text for both sides: their own paths and ports by name, if the case has them."""
    for name in ("own", "free", "free2"):
        if name in names["used"]:
            text = re.sub(rb"(?<!\d)%s(?!\d)" % re.escape(str(names[name]).encode()),
                          b"@%s@" % name.encode(), text)
    return text


def argv_of(world, case, names):
    if case.shell is None:
        return names["argv"]
    return ["/bin/bash", "-c", world.fill(case.shell, names), "sh", *names["argv"]]


def run_side(world, case, names):
    """Runs one side of a case to its end."""
    argv = argv_of(world, case, names)
    stdin = world.fill(case.stdin, names)
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    proc = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=names["env"],
        cwd=world.fill(case.cwd, names), start_new_session=True)
    try:
        out, err = proc.communicate(stdin, SECONDS * SLOW)
    except subprocess.TimeoutExpired as late:
        os.killpg(proc.pid, signal.SIGKILL)
        out, err = proc.communicate()
        raise AssertionError(f"{argv} still runs: {out[-500:]!r}, {err[-2000:]!r}") from late
    return Seen(proc.returncode, named(out, names),
                named(err, names).decode(errors="surrogateescape"))


def tty_side(world, case, names):
    """Runs one side of a case on a terminal of its own."""
    argv = argv_of(world, case, names)
    term = pexpect.spawn(argv[0], argv[1:], env=names["env"], dimensions=(24, 80),
                         timeout=SECONDS * SLOW, cwd=world.fill(case.cwd, names))
    term.delaybeforesend = None
    seen = b""
    try:
        for wanted, act in case.script:
            term.expect(wanted)
            seen += term.before + term.after
            if callable(act):
                act(term)
            else:
                term.send(act)
        term.expect(pexpect.EOF)
        seen += term.before
        term.wait()
    except (pexpect.TIMEOUT, pexpect.EOF) as error:
        raise AssertionError(f"{argv}: {type(error).__name__} after {seen!r}, then "
                             f"{term.before!r}") from error
    finally:
        term.close(force=True)
    status = term.exitstatus if term.signalstatus is None else -term.signalstatus
    return Seen(status, named(seen, names), "")


def words_of(text):
    """The lines of stderr or of a terminal without the programs' own prefixes, without carriage
    returns, and without the host's name where both say that it closed the connection."""
    return [re.sub(r"^(Connection to) \S+ closed\.$", r"\1 @host@ closed.",
                   re.sub(r"^(hawser|ssh): ", "", line))
            for line in text.replace("\r", "").split("\n")]


def check(world, case):
    """Runs the case through both; fails where they differ."""
    ssh, hawser = world.both(case)
    told = f"\n   ssh: {ssh}\nhawser: {hawser}"
    assert hawser.status == ssh.status, "status" + told
    if case.out and case.script is None:
        assert hawser.out == ssh.out, "stdout" + told
    elif case.out:
        shown = [words_of(s.out.decode(errors="surrogateescape")) for s in (ssh, hawser)]
        assert shown[1] == shown[0], "terminal" + told
    if case.says is None:
        assert words_of(hawser.err) == words_of(ssh.err), "stderr" + told
    for wanted in case.says or ():
        for seen in (ssh, hawser):
            said = seen.err if case.script is None else seen.out.decode(errors="replace")
            assert re.search(world.fill(wanted, world.names), said, re.I | re.M), wanted + told
    if case.status is not None:
        assert ssh.status == case.status, "not what the case is about" + told
    if case.prints is not None:
        assert world.fill(case.prints, world.names) in ssh.out.decode(errors="replace"), \
            "not what the case is about" + told
