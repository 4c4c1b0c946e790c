"""One test's own world: directories, ssh configuration, servers, hawserd and its clients."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys

import pexpect

from sshd import Sshd
from util import SLOW, alive, die_with_parent, fd_targets, kill, read_text, rss_kb, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HAWSER_BIN_DIR", ROOT / "build/bin")).resolve()
HAWSER = os.environ.get("HAWSER", str(BIN / "hawser"))
HAWSERD, HAWSERCTL = str(BIN / "hawserd"), str(BIN / "hawserctl")
# HAWSER=/usr/bin/ssh runs the tests marked "oracle" against OpenSSH: what they ask is ssh's way.
ORACLE = "HAWSER" in os.environ
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
SANITIZER_WORDS = ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer",
                   "UndefinedBehaviorSanitizer")


class Result:
    """What a client left: status, stdout (bytes), stderr (text)."""

    def __init__(self, done):
        self.status, self.out = done.returncode, done.stdout
        self.err = (done.stderr or b"").decode(errors="replace")

    @property
    def text(self):
        return self.out.decode(errors="replace")

    def __repr__(self):
        return f"<status {self.status} stdout {self.out[:500]!r} stderr {self.err[:2000]!r}>"


class Box:
    """Everything of one test. close() ends all that was started, by pid, and judges the rest."""

    def __init__(self, folder, keys, account):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(mode=0o755)
        self.keys, self.account = keys, account
        for name, mode in (("run", 0o700), ("conf", 0o700), ("state", 0o700), ("home", 0o700),
                           ("san", 0o777), ("tmp", 0o700)):
            (self.dir / name).mkdir(mode=mode)
        self.socket = self.dir / "run/hawser/v1.sock"
        self.config = self.dir / "ssh_config"
        self.known_hosts = self.dir / "known_hosts"
        self.daemon_log = self.dir / "hawserd.log"
        self.servers, self.clients, self.terminals, self.daemons = [], [], [], []
        self.hosts = {}
        self.daemon = None  # Popen of a daemon that this box started itself
        self.judge_exit = True
        self.kept_logs = None
        self.env = {
            "PATH": PATH, "HOME": str(self.dir / "home"), "LANG": "C.UTF-8", "TERM": "xterm",
            "TMPDIR": str(self.dir / "tmp"),
            "XDG_RUNTIME_DIR": str(self.dir / "run"),
            "XDG_CONFIG_HOME": str(self.dir / "conf"),
            "XDG_STATE_HOME": str(self.dir / "state"),
            "HAWSER_DAEMON": HAWSERD,
            "HAWSER_FALLBACK": "no",
            "ASAN_OPTIONS": f"log_path={self.dir}/san/asan:exitcode=99:detect_leaks=1"
                            ":quarantine_size_mb=8",
            "UBSAN_OPTIONS": f"log_path={self.dir}/san/ubsan:print_stacktrace=1",
            "TSAN_OPTIONS": f"log_path={self.dir}/san/tsan:exitcode=98",
            "LSAN_OPTIONS": f"print_suppressions=0:suppressions={ROOT}/tests/lsan.supp",
        }
        if ORACLE:
            del self.env["HAWSER_FALLBACK"]

    # ---- servers and configuration -----------------------------------------------------------
    def server(self, **options):
        """Starts another sshd (sshd_config keywords)."""
        made = Sshd(self.dir / f"sshd{len(self.servers)}", self.keys, self.account, **options)
        self.servers.append(made)
        return made.start()

    def host(self, name, server, **options):
        """A Host block; keywords override the defaults, None leaves one out. Known at once."""
        block = {
            "HostName": "127.0.0.1", "Port": server.port, "User": self.account.name,
            "IdentityFile": str(self.keys.user), "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": str(self.dir / "global_known_hosts"),
            "StrictHostKeyChecking": "yes",
        }
        block.update(options)
        self.hosts[name] = block
        self._write_config()
        return name

    def _write_config(self):
        lines = []
        for name, block in self.hosts.items():
            lines.append(f"Host {name}")
            for key, value in block.items():
                for one in value if isinstance(value, (list, tuple)) else [value]:
                    if one is not None:
                        lines.append(f"\t{key} {one}")
        fresh = self.dir / "ssh_config.new"
        fresh.write_text("\n".join(lines) + "\n")
        fresh.rename(self.config)

    def trust(self, server, kinds=("ed25519", "ecdsa", "rsa")):
        """Puts the server's keys into the user's known hosts."""
        with open(self.known_hosts, "a") as f:
            for kind in kinds:
                f.write(f"[127.0.0.1]:{server.port} {self.keys.host_public(kind)}\n")

    def daemon_conf(self, **settings):
        """Writes hawser.conf."""
        folder = self.dir / "conf/hawser"
        folder.mkdir(exist_ok=True)
        (folder / "hawser.conf").write_text("".join(
            f"{key.replace('_', '-')} = {value}\n" for key, value in settings.items()))

    # ---- the daemon --------------------------------------------------------------------------
    def start_daemon(self, *args, env=None, level="debug"):
        """Starts hawserd in the foreground with its log in a file; waits until it answers."""
        if ORACLE:
            return None
        with open(self.daemon_log, "ab") as log:
            self.daemon = subprocess.Popen(
                [HAWSERD, "--log-level", level, *args], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=env or self.env, start_new_session=True, cwd="/",
                preexec_fn=die_with_parent)
        self.daemons.append(self.daemon)
        wait_for(lambda: self.daemon_pid() or self.daemon.poll() is not None, "hawserd's socket")
        assert self.daemon.poll() is None, "hawserd ended: " + read_text(self.daemon_log)
        return self.daemon

    def daemon_pid(self):
        """The pid of the daemon behind the socket (whoever started it), 0 when there is none."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect(str(self.env.get("HAWSER_SOCKET", self.socket)))
            except OSError:
                return 0
            cred = s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", cred)[0]

    def daemon_fds(self):
        """The daemon's descriptors that sessions could leak: {number: target}."""
        return fd_targets(self.daemon_pid())

    def daemon_rss(self):
        return rss_kb(self.daemon_pid())

    def connect(self):
        """A raw connection to the daemon's socket."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(20 * SLOW)
        s.connect(str(self.socket))
        return s

    # ---- clients -----------------------------------------------------------------------------
    def command(self, *args):
        return [HAWSER, "-F", str(self.config), *map(str, args)]

    def environment(self, env):
        merged = dict(self.env)
        for key, value in (env or {}).items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = str(value)
        return merged

    def run(self, *args, input=None, timeout=60, env=None, **popen):
        """Runs hawser -F CONFIG args to its end; stdin is /dev/null when nothing else is said."""
        if input is None:
            popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        return Result(subprocess.run(self.command(*args), input=input, timeout=timeout * SLOW,
                                     env=self.environment(env), **popen))

    def ok(self, *args, **popen):
        """run(), which must end with status 0; returns its stdout as text."""
        result = self.run(*args, **popen)
        assert result.status == 0, result
        return result.text

    def popen(self, *args, env=None, **popen):
        """hawser in the background, ended with the box; stdio: pipes, stdin /dev/null."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        proc = subprocess.Popen(self.command(*args), env=self.environment(env), **popen)
        self.clients.append(proc)
        return proc

    def spawn(self, *args, env=None, dimensions=(24, 80), timeout=20, program=None):
        """hawser (or a program) on a terminal of its own."""
        words = [program, *args] if program else self.command(*args)
        term = pexpect.spawn(words[0], [str(w) for w in words[1:]], env=self.environment(env),
                             dimensions=dimensions, timeout=timeout * SLOW, cwd=str(self.dir))
        term.delaybeforesend = None
        self.terminals.append(term)
        return term

    def shell(self, env=None):
        """An interactive job-control shell whose prompt is "ready> "; $H is hawser -F CONFIG."""
        env = dict(env or {}, PS1="ready> ", H=" ".join(self.command()), HISTFILE="/dev/null")
        term = self.spawn("--norc", "--noprofile", "--noediting", "-i", program="/bin/bash",
                          env=env)
        term.expect_exact("ready> ")
        return term

    def ctl(self, *args, timeout=30, env=None):
        """hawserctl args."""
        return Result(subprocess.run([HAWSERCTL, *args], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     timeout=timeout * SLOW, env=self.environment(env)))

    # ---- the end -----------------------------------------------------------------------------
    def sanitizer_reports(self):
        # A process that was killed while it looked for leaks has not said anything.
        found = [f"{p.name}:\n{read_text(p)}" for p in sorted((self.dir / "san").iterdir())
                 if any(word in read_text(p) for word in SANITIZER_WORDS)]
        log = read_text(self.daemon_log)
        found += [log for word in SANITIZER_WORDS if word in log][:1]
        return found

    def logs(self):
        """(name, text) of everything worth reading after a failure."""
        if self.kept_logs is not None:
            yield from self.kept_logs
            return
        yield "hawserd.log", read_text(self.daemon_log)[-20000:]
        for index, server in enumerate(self.servers):
            yield f"sshd {index}", read_text(server.log)[-8000:]
        yield "ssh_config", read_text(self.config)
        for report in self.sanitizer_reports():
            yield "sanitizer", report

    def _end_clients(self):
        for term in self.terminals:
            term.close(force=True)
        for proc in self.clients:
            if proc.poll() is None:
                proc.kill()
            proc.wait()
            for stream in (proc.stdin, proc.stdout, proc.stderr):
                if stream:
                    try:
                        stream.close()
                    except OSError:
                        pass

    def _end_daemons(self):
        """Orderly stop; a daemon that does not follow within its drain time is an error."""
        wrong = []
        pid = 0 if ORACLE else self.daemon_pid()
        if pid:
            kill(pid, signal.SIGTERM)
            try:
                wait_for(lambda: not alive(pid), "hawserd's end after SIGTERM", 15)
            except AssertionError as stuck:
                wrong.append(str(stuck))
                kill(pid)
        for proc in self.daemons:
            if proc.poll() is None:
                try:
                    proc.wait(15 * SLOW)
                except subprocess.TimeoutExpired:
                    proc.kill()
                    wrong.append("hawserd still ran")
            status = proc.wait()
            if self.judge_exit and status != 0:
                wrong.append(f"hawserd ended with status {status}")
        return wrong

    def close(self):
        """Ends clients, daemon, servers; returns what was wrong, as sentences."""
        self._end_clients()
        wrong = self._end_daemons()
        for server in self.servers:
            server.close()
        return wrong + self.sanitizer_reports()

    def remove(self):
        """The directories; the logs stay in memory, for a report on what fails later."""
        self.kept_logs = list(self.logs())
        shutil.rmtree(self.dir, ignore_errors=True)


def python(*args):
    """The interpreter that runs the tests, as words of a command."""
    return [sys.executable, *args]
