"""What the tests of real tools share: running them, trees of files, counting logins."""
import os
import pathlib
import re
import shutil
import subprocess

from daemon import ORACLE
from util import SLOW, alive, pattern, sha_file

SUDOERS = pathlib.Path("/etc/sudoers.d")


def many(full, few):
    """A count: full in a release build, few where a sanitizer makes all of it slower."""
    return full if SLOW == 1 else few


class Tools:
    """A box with a server "h", a daemon, and `wrapper`: one word that is hawser -F CONFIG."""

    def __init__(self, box):
        self.box, self.dir, self.sshd = box, box.dir, box.sshd
        self.far = box.account.home / "far"
        self.far.mkdir()
        os.chown(self.far, box.account.uid, box.account.gid)
        self.shell = " ".join(box.command())
        self.wrapper = self.program("ssh", f'exec {self.shell} "$@"')
        self.env = dict(box.env)

    def close(self):
        shutil.rmtree(self.far, ignore_errors=True)

    def program(self, name, body, folder="bin"):
        """A shell script of that name in a directory of its own; returns its path."""
        path = self.dir / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def attempt(self, *words, cwd=None, env=None, input=None, timeout=100):
        """Runs a tool to its end, hawser as the box has it; returns the completed process."""
        given = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        merged = {k: str(v) for k, v in {**self.env, **(env or {})}.items() if v is not None}
        return subprocess.run([str(w) for w in words], env=merged, cwd=str(cwd or self.dir),
                              text=True, capture_output=True, timeout=timeout * SLOW, **given)

    def run(self, *words, **how):
        """attempt(), which must end with status 0; returns stdout."""
        done = self.attempt(*words, **how)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def start(self, *words):
        """A tool in the background, as a process group of its own; ended with the box."""
        proc = subprocess.Popen([str(w) for w in words], env=self.env, cwd=str(self.dir),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)
        self.box.clients.append(proc)
        return proc

    def sh(self, script, **how):
        """run() of a shell script in which $H is hawser -F CONFIG; a pipe fails in any part."""
        return self.run("bash", "-o", "pipefail", "-ec", script,
                        **{**how, "env": {"H": self.shell, **how.get("env", {})}})

    def folder(self, name):
        path = self.dir / name
        path.mkdir()
        return path

    def one_login(self, server=None):
        """Asserts that all of it was one login; ssh as oracle has one for each call."""
        if not ORACLE:
            assert (server or self.sshd).logins() == 1, "more than one login"


def tree(folder):
    """{relative path: checksum, "/" for a directory} of what is in a directory."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders:
            found[os.path.relpath(os.path.join(base, name), folder)] = "/"
        for name in names:
            path = os.path.join(base, name)
            found[os.path.relpath(path, folder)] = sha_file(path)
    return found


def make_tree(folder, files=60):
    """Some files of all sizes, names with spaces, one of 3 MiB; returns tree(folder)."""
    for i in range(files):
        path = folder / f"d{i % 7}" / f"file {i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pattern(i * 997, i))
    (folder / "large").write_bytes(pattern(3 << 20, 77))
    return tree(folder)


def make_small_files(folder, count):
    """Many small files, a hundred in each directory, each with a content of its own."""
    for i in range(0, count, 100):
        part = folder / f"{i // 100:03}"
        part.mkdir(parents=True)
        for j in range(i, min(i + 100, count)):
            (part / f"{j}").write_text(f"the content of file {j}\n" * (j % 9))


def make_large_file(path, megabytes):
    """A file that costs no disk: a block that is like no other every 10 MB, zeros between."""
    with open(path, "wb") as f:
        for at in range(0, megabytes, 10):
            f.seek(at * 10**6)
            f.write(pattern(4096, at))
        f.truncate(megabytes * 10**6)


class Sudo:
    """Lets the temporary account become root without a password, until close()."""

    def __init__(self, account):
        self._remove_stale()
        self.file = SUDOERS / account.name
        fresh = SUDOERS / f".{account.name}.new"  # names with a dot are not read
        fresh.write_text(f"{account.name} ALL=(root) NOPASSWD: ALL\n")
        fresh.chmod(0o440)
        fresh.rename(self.file)

    @staticmethod
    def _remove_stale():
        """Files of test runs that were killed: a later account could have the same name."""
        for path in SUDOERS.iterdir():
            match = re.fullmatch(r"\.?hwt(\d+)(\.new)?", path.name)
            if match and not alive(int(match[1])):
                path.unlink(missing_ok=True)

    def close(self):
        self.file.unlink(missing_ok=True)


def sudo_problem():
    """Why become by sudo cannot be shown here; None when it can."""
    if os.geteuid() != 0:
        return "without root: no account that may use sudo"
    if not shutil.which("sudo") or not SUDOERS.is_dir():
        return "sudo is not installed"
    return None
