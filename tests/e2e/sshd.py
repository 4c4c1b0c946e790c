"""A private sshd: own port, own host keys, own log that logins and sessions are counted in."""
import contextlib
import getpass
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess

from util import (all_pids, alive, children, die_with_parent, environ_of, free_port,
                  hold_all_below, kill, read_text, stat_fields, wait_for)

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin") or "sshd"
HOST_KEY_TYPES = ("ed25519", "ecdsa", "rsa")


class Keys:
    """Host keys and user keys of one test run, made once."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(mode=0o755)
        for kind in HOST_KEY_TYPES:
            self.make("host_" + kind, kind)
        self.user = self.make("id_user", "ed25519")

    def make(self, name, kind="ed25519", passphrase="", bits=None):
        """Makes a key pair (once) and returns the private key's path."""
        path = self.dir / name
        if not path.exists():
            size = ["-b", str(bits)] if bits else (["-b", "2048"] if kind == "rsa" else [])
            subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", name,
                            "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
        return path

    def host_public(self, kind="ed25519"):
        """"ssh-ed25519 AAAA..." of a host key."""
        return " ".join(read_text(self.dir / f"host_{kind}.pub").split()[:2])

    def fingerprint(self, name):
        """"SHA256:..." of a key of this folder."""
        out = subprocess.run(["ssh-keygen", "-lf", str(self.dir / (name + ".pub"))],
                             capture_output=True, text=True, check=True).stdout
        return out.split()[1]


class Account:
    """A user to log in as: a temporary one when we are root, else ourselves."""

    def __init__(self, folder):
        self.home = pathlib.Path(folder)
        self.home.mkdir(mode=0o755)
        self.temporary = os.geteuid() == 0
        self.name = f"hwt{os.getpid()}" if self.temporary else getpass.getuser()
        self.password = "correct-horse-7"
        if self.temporary:
            self._remove_stale()
            self.create(self.name, self.home)
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self._password_set = False

    @staticmethod
    def create(name, home):
        """useradd; the account database has one lock, so others may have to be waited for."""
        def attempt():
            done = subprocess.run(["useradd", "-N", "-M", "--no-log-init", "-d", str(home), "-p",
                                   "*", "-s", "/bin/sh", name], capture_output=True, text=True)
            return done.returncode == 0 or "exists" in done.stderr
        wait_for(attempt, f"useradd {name}", 30)
        os.chown(home, pwd.getpwnam(name).pw_uid, -1)

    @staticmethod
    def _remove_stale():
        """Accounts of test runs that were killed."""
        for entry in pwd.getpwall():
            match = re.fullmatch(r"hwt(\d+)", entry.pw_name)
            if match and not alive(int(match[1])):
                subprocess.run(["userdel", entry.pw_name], capture_output=True)

    def set_password(self):
        """Gives the temporary account its password (for password logins)."""
        if not self._password_set:
            wait_for(lambda: subprocess.run(["chpasswd"], input=f"{self.name}:{self.password}\n",
                                            text=True, capture_output=True).returncode == 0,
                     "chpasswd", 30)
            self._password_set = True
        return self.password

    def forget_password_state(self):
        self._password_set = False

    def close(self):
        if self.temporary:
            def attempt():
                done = subprocess.run(["userdel", self.name], capture_output=True, text=True)
                return done.returncode in (0, 6)
            wait_for(attempt, f"userdel {self.name}", 30)


class Sshd:
    """One server. Options are sshd_config keywords; a list gives several lines."""

    def __init__(self, folder, keys, account, **options):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(mode=0o755, parents=True)
        self.keys, self.account = keys, account
        self.log = self.dir / "sshd.log"
        self.authorized = self.dir / "authorized_keys"
        self.authorized.write_text(read_text(str(keys.user) + ".pub"))
        self.port, self.proc = None, None
        self.host_keys = options.pop("HostKeys", HOST_KEY_TYPES)
        self.env = options.pop("Environment", {})
        self.options = options

    def _write_config(self):
        settings = {
            "ListenAddress": "127.0.0.1",
            "HostKey": [str(self.keys.dir / f"host_{kind}") for kind in self.host_keys],
            "AuthorizedKeysFile": str(self.authorized),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "LogLevel": "VERBOSE",
            "AcceptEnv": "LANG LC_* HW_*",
            "PermitUserEnvironment": "no",
            "Subsystem": "sftp internal-sftp",
            "MaxStartups": "100",
        }
        settings.update(self.options)
        lines = [f"Port {self.port}"]
        for key, value in settings.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if one is not None:
                    lines.append(f"{key} {one}")
        (self.dir / "sshd_config").write_text("\n".join(lines) + "\n")

    def start(self):
        """Starts it on a free port (the same one after a stop) and waits until it listens."""
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        fixed = self.port is not None
        for _ in range(20):
            self.port = self.port if fixed else free_port()
            self._write_config()
            seen = len(read_text(self.log))
            with open(self.log, "ab") as log:
                self.proc = subprocess.Popen(
                    [SSHD, "-D", "-e", "-f", str(self.dir / "sshd_config")],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    preexec_fn=die_with_parent,
                    env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8",
                         **self.env})
            wait_for(lambda: "Server listening" in read_text(self.log)[seen:]
                     or self.proc.poll() is not None, f"sshd on port {self.port}")
            if self.proc.poll() is None:
                return self
            if "Address already in use" not in read_text(self.log)[seen:]:
                break
            if fixed:
                wait_for(lambda: True, "another try")
        raise AssertionError("sshd does not start:\n" + read_text(self.log))

    # ---- what the log says -------------------------------------------------------------------
    def _count(self, regex):
        return len(re.findall(regex, read_text(self.log), re.M))

    def logins(self):
        """How many authentications it has accepted."""
        return self._count(r"^Accepted \S+ for ")

    def logins_by_address(self):
        """{address of ours: authentications accepted there}, for one that has many addresses."""
        text, found = read_text(self.log), {}
        came = dict(re.findall(r"^Connection from \S+ port (\d+) on (\S+) port ", text, re.M))
        for port in re.findall(r"^Accepted \S+ for \S+ from \S+ port (\d+) ", text, re.M):
            found[came[port]] = found.get(came[port], 0) + 1
        return found

    def sessions(self):
        """How many shells, commands and subsystems it has started."""
        return self._count(r"^Starting session: ")

    def connections(self):
        """How many TCP connections it has taken."""
        return self._count(r"^Connection from ")

    # ---- its processes -----------------------------------------------------------------------
    def workers(self):
        """The processes that serve connections (and what runs in them)."""
        return children(self.proc.pid) if self.proc and self.proc.poll() is None else []

    def remote_processes(self, needle):
        """Pids of processes of this server's sessions whose command line holds the text."""
        tag = re.compile(rb"SSH_CONNECTION=.* %d$" % self.port)
        found = []
        for pid in all_pids():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if needle.encode() in words and any(tag.match(e) for e in environ_of(pid)):
                if alive(pid):
                    found.append(pid)
        return found

    def _hold(self, wanted):
        runs = self.proc and self.proc.poll() is None
        return hold_all_below(self.proc.pid, wanted) if runs else ()

    def cut(self, wanted=lambda pid: True):
        """kill -9 of every connection's processes, or those that are wanted; the listener stays."""
        for pid in self._hold(wanted):
            kill(pid)

    def cut_what_runs(self, needle):
        """The same, of the one connection that runs a command with this text."""
        pid, = self.remote_processes(needle)
        above = set()
        while pid not in (self.proc.pid, 0):
            pid = int(stat_fields(pid)[1])
            above.add(pid)
        self.cut(lambda pid: pid in above)

    def stop(self, cut=True, wanted=lambda pid: True):
        """Ends the listener, then its connections, too, when cut."""
        held = self._hold(wanted) if cut else ()
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            self.proc.wait(10)
        for pid in held:
            kill(pid)

    @contextlib.contextmanager
    def stopped(self):
        """The listener stands still meanwhile: the system takes connections, and nobody greets."""
        self.proc.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.proc.send_signal(signal.SIGCONT)

    def close(self):
        self.stop()
        tag = re.compile(rb"SSH_CONNECTION=.* %d$" % (self.port or 0))
        for pid in all_pids():
            if pid != os.getpid() and any(tag.match(e) for e in environ_of(pid)):
                kill(pid)
