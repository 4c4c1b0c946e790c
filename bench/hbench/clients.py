"""The two clients under test, behind one face: hawser with its daemon, ssh with its masters."""
import os
import shutil
import socket
import struct
from dataclasses import dataclass, field

from .lab import ALIAS
from .procs import BenchError, alive, end_pid, wait_until

COMMON_CONFIG = """\
Host *
    User {user}
    IdentityFile {directory}/userkey
    IdentitiesOnly yes
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile /dev/null
    HostKeyAlias {alias}
    StrictHostKeyChecking yes
    UpdateHostKeys no
    PreferredAuthentications publickey
    KexAlgorithms curve25519-sha256
    BatchMode yes
    LogLevel ERROR
"""


@dataclass
class Host:
    """One destination: a name in the configuration, where it is, and ssh options of its own."""
    name: str
    port: int
    address: str = "127.0.0.1"
    options: dict = field(default_factory=dict)

    def stanza(self):
        lines = [f"Host {self.name}", f"    HostName {self.address}", f"    Port {self.port}"]
        return "\n".join(lines + [f"    {k} {v}" for k, v in self.options.items()]) + "\n"


class Client:
    """argv() runs a command over a held transport, which hold() makes; close() ends them all."""
    role = ""

    def __init__(self, lab, hosts):
        self.lab = lab
        self.directory = lab.path(f"c{lab.serial()}")
        os.mkdir(self.directory, 0o700)
        self.config = os.path.join(self.directory, "ssh_config")
        with open(self.config, "w") as out:
            for host in hosts:
                out.write(host.stanza())
            out.write(COMMON_CONFIG.format(user=lab.account.name, directory=lab.directory,
                                           alias=ALIAS))
            out.write(self.own_config())
        self.env = {k: v for k, v in os.environ.items()
                    if k in ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM")}
        self.env.setdefault("TERM", "xterm")

    def own_config(self):
        return ""

    def argv_of_ssh(self):
        """What tools take as their ssh: the words before the host."""
        return [self.executable(), "-F", self.config]

    def run(self, host, *command, timeout=60):
        return self.lab.procs.run(self.argv(host, *command), self.env, timeout)


class OpenSsh(Client):
    role = "openssh"
    program = "ssh"

    def __init__(self, lab, hosts):
        super().__init__(lab, hosts)
        self.masters = {}

    def own_config(self):
        return f"    ControlPath {self.directory}/%n\n"

    def argv(self, host, *command, options=()):
        return [*self.argv_of_ssh(), *options, host, *command]

    def executable(self):
        """As one absolute path, since some tools take no other."""
        return shutil.which(self.program) or self.program

    def cold_argv(self, host, *command):
        """A connection of its own and no listener for others: the least that ssh can do."""
        return self.argv(host, *command, options=("-o", "ControlPath=none"))

    def make_cold(self, host):
        """cold_argv() makes a connection of its own: there is nothing to close."""

    def forget(self):
        """ssh keeps nothing between runs."""

    def hold(self, *hosts):
        for host in hosts:
            self.masters[host] = self.lab.procs.start(
                self.argv(host, options=("-MN",)), self.env)
            if len(self.masters) % 10 == 0:
                self._wait_for_masters()
        self._wait_for_masters()

    def _wait_for_masters(self):
        for host, proc in self.masters.items():
            def up():
                if proc.poll() is not None:
                    raise BenchError(f"ssh's master for {host} ended: {self.lab.log_tail()}")
                return os.path.exists(os.path.join(self.directory, host))
            wait_until(up, 20, f"ssh's master for {host}")

    def check(self):
        """A master that died would have been replaced by cold logins in silence."""
        for host, proc in self.masters.items():
            if proc.poll() is not None:
                raise BenchError(f"ssh's master for {host} died while it was measured")

    def holders(self):
        return [proc.pid for proc in self.masters.values()]

    def release(self):
        """Ends what hold() made."""
        for proc in self.masters.values():
            self.lab.procs.stop(proc)
        self.masters.clear()

    def close(self):
        self.release()
        shutil.rmtree(self.directory, ignore_errors=True)


class OpenSshAgain(OpenSsh):
    """OpenSSH in hawser's place (--self): what the machine's noise alone does to a ratio."""
    role = "hawser"


class Hawser(Client):
    role = "hawser"

    def __init__(self, lab, hosts, build):
        super().__init__(lab, hosts)
        self.pid = None  # of the daemon that hold() left
        self.bin = os.path.join(build, "bin")
        self.socket = os.path.join(self.directory, "s")
        self.env.update(
            HAWSER_SOCKET=self.socket, HAWSER_DAEMON=os.path.join(self.bin, "hawserd"),
            HAWSER_FALLBACK="no",  # or ssh would be measured against itself
            XDG_RUNTIME_DIR=self.directory, XDG_CONFIG_HOME=self.directory,
            XDG_STATE_HOME=self.directory)

    def own_config(self):
        return "    ControlPersist 1h\n"

    def argv(self, host, *command, options=()):
        return [*self.argv_of_ssh(), *options, host, *command]

    def executable(self):
        return os.path.join(self.bin, "hawser")

    def cold_argv(self, host, *command):
        return self.argv(host, *command)

    def ctl(self, *args, check=True):
        return self.lab.procs.run([os.path.join(self.bin, "hawserctl"), *args], self.env, 30,
                                  check)

    def make_cold(self, host):
        self.ctl("close", "--force", host)

    def hold(self, *hosts):
        for host in hosts:
            self.run(host, "true")
        self.pid = self.daemon_pid()

    def forget(self):
        self.release()

    def check(self):
        """A daemon that died would have been replaced by the next client in silence."""
        if self.pid is not None and self.daemon_pid() != self.pid:
            raise BenchError("hawserd died while it was measured")

    def daemon_pid(self):
        """The process that listens, as the kernel knows it; None if there is none."""
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.socket) != 0:
                return None
            cred = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return struct.unpack("3i", cred)[0]

    def holders(self):
        """The daemon and whatever it keeps running."""
        pid = self.daemon_pid()
        if pid is None:
            raise BenchError("hawserd is not running")
        return [pid] + _descendants(pid)

    def release(self):
        """Ends what hold() made, and the daemon: what it has grown must not help or hurt later."""
        self.pid = None
        pid = self.daemon_pid()
        if pid is None:
            return
        self.ctl("stop", check=False)
        try:
            wait_until(lambda: not alive(pid), 10, "hawserd's end after hawserctl stop")
        except BenchError:
            end_pid(pid)

    def close(self):
        self.release()
        shutil.rmtree(self.directory, ignore_errors=True)


def _descendants(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as children:
            for child in map(int, children.read().split()):
                found += [child] + _descendants(child)
    return found


