"""The private laboratory: keys, account, sshd, delay proxies, all under one temporary directory."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

from .account import Account
from .procs import BenchError, Procs, wait_until

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
ALIAS = "hwbench"  # one host key name for every address and port

SSHD_CONFIG = """\
# rdomain lo: every address of 127/8, and nothing that is not loopback
ListenAddress 0.0.0.0 rdomain lo
Port {port}
HostKey {directory}/hostkey
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
MaxSessions 1000
MaxStartups 1000
LogLevel ERROR
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_directory():
    """A directory that carries our process id, so that a later run knows it for stale; those of
    runs that were killed outright go now."""
    for entry in os.scandir(tempfile.gettempdir()):
        found = re.fullmatch(r"hwbench-(\d+)-\w+", entry.name)
        if found and not os.path.exists(f"/proc/{found.group(1)}") \
                and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
            shutil.rmtree(entry.path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"hwbench-{os.getpid()}-")


class Lab:
    def __init__(self, build):
        if SSHD is None:
            raise BenchError("no sshd found: install openssh-server")
        self.tools = os.path.join(build, "bench")
        self.directory = _make_directory()
        self.procs = Procs(os.path.join(self.directory, "log"))
        self.account = None
        self._serial = 0
        try:
            os.chmod(self.directory, 0o711)  # the account's sshd reads authorized_keys in it
            self.account = Account(self.directory)
            self._make_keys()
            self.port = self.start_sshd()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def path_of_tool(self, name):
        return os.path.join(self.tools, name)

    def serial(self):
        self._serial += 1
        return self._serial

    def _make_keys(self):
        for name in ("hostkey", "userkey"):
            self.procs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f",
                            self.path(name)])
        shutil.copy(self.path("userkey.pub"), self.path("authorized_keys"))
        os.chmod(self.path("authorized_keys"), 0o644)
        with open(self.path("hostkey.pub")) as public, open(self.path("known_hosts"), "w") as out:
            out.write(f"{ALIAS} {' '.join(public.read().split()[:2])}\n")

    def start_sshd(self):
        """One more sshd of our own; returns its port."""
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # as Debian's ssh.service does
        port = free_port()
        config = self.path(f"sshd_config.{port}")
        with open(config, "w") as out:
            out.write(SSHD_CONFIG.format(port=port, directory=self.directory))
        proc = self.procs.start([SSHD, "-D", "-e", "-f", config])

        def up():
            if proc.poll() is not None:
                raise BenchError(f"sshd ended at once: {self.log_tail()}")
            return listening(port)
        wait_until(up, 10, "sshd listening")
        return port

    def start_proxy(self, *options, port=None):
        """A delayproxy before the sshd; returns (its port, its process)."""
        proc = self.procs.start([self.path_of_tool("delayproxy"), *map(str, options),
                                 str(port or self.port)], stdout=subprocess.PIPE)
        line = proc.stdout.readline()
        if not line:
            raise BenchError(f"delayproxy did not start: {self.log_tail()}")
        return int(line), proc

    def tool(self, name, *args, env=None, timeout=300, stream="stdout"):
        """Runs one of our C programs; returns the JSON line that it printed."""
        _, out, err = self.procs.run([self.path_of_tool(name), *map(str, args)], env,
                                     timeout)
        line = (out if stream == "stdout" else err).strip().splitlines()[-1]
        return json.loads(line), out

    def log_tail(self):
        self.procs.log.flush()
        with open(self.procs.log_path, errors="replace") as log:
            return log.read().strip()[-600:]

    @contextlib.contextmanager
    def pinned(self, cpu):
        """Everything started inside runs on one processor, this program too."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def close(self):
        self.procs.stop_all()
        if self.account:
            self.account.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
