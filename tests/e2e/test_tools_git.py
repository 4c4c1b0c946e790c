"""git over hawser: clone, fetch, push, ls-remote; the three ways to name the ssh; one login."""
import shutil

import pytest

from toolbox import Tools
from util import pattern

pytestmark = [pytest.mark.oracle,
              pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")]

PLAIN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0",
         **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")}}


class Git:
    """git with a bare repository on the far side; `speaks` says which ssh and how."""

    def __init__(self, box):
        self.tools = Tools(box)
        self.tools.env.update(PLAIN)
        self.bare = self.tools.far / "repo.git"
        self.url = f"h:{self.bare}"
        box.ok("h", f"git init -q --bare -b main {self.bare}")
        self.speaks = {"GIT_SSH_COMMAND": self.tools.shell, "GIT_SSH_VARIANT": "ssh"}

    def __call__(self, *words, cwd=None, env=None):
        return self.tools.run("git", *words, cwd=cwd, env={**self.speaks, **(env or {})})

    def trace(self, *words, cwd=None):
        """What git says on the wire."""
        done = self.tools.attempt("git", *words, cwd=cwd,
                                  env={**self.speaks, "GIT_TRACE_PACKET": "1"})
        assert done.returncode == 0, done.stderr
        return done.stderr

    def commit(self, work, name, size=20):
        (work / name).write_bytes(pattern(size, len(name)))
        self("add", ".", cwd=work)
        self("commit", "-qm", name, cwd=work)

    def clone(self, name, url=None):
        self("clone", "-q", url or self.url, self.tools.dir / name)
        return self.tools.dir / name

    def head(self, where, what="HEAD"):
        return self("rev-parse", what, cwd=where).strip()

    def work(self):
        """Clone, push, clone again, push, fetch, ls-remote, a tag, a deleted branch."""
        one = self.clone("one")
        self.commit(one, "first", 3 << 20)
        self("push", "-q", "origin", "HEAD:main", cwd=one)
        two = self.clone("two")
        assert (two / "first").read_bytes() == (one / "first").read_bytes()
        self.commit(two, "second")
        self("push", "-q", "--tags", "origin", "HEAD:main", "HEAD:side", cwd=two)
        self("fetch", "-q", "origin", cwd=one)
        assert self.head(one, "origin/main") == self.head(two)
        assert self("ls-remote", "origin", cwd=one) == "".join(
            f"{self.head(two)}\t{ref}\n" for ref in ("HEAD", "refs/heads/main", "refs/heads/side"))
        self("push", "-q", "origin", ":side", cwd=two)
        self("pull", "-q", "--ff-only", "--prune", "origin", "main", cwd=one)
        assert "side" not in self("ls-remote", "origin", cwd=one)
        assert self.head(one) == self.head(two)
        return one


@pytest.fixture
def git(bare):
    bare.sshd = bare.server(AcceptEnv="LANG LC_* GIT_PROTOCOL")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    made = Git(bare)
    yield made
    made.tools.close()


@pytest.mark.core
def test_git(git):
    """Everything that people do all day, over one login."""
    git.work()
    git.tools.one_login()


def test_git_simple(git):
    """The same by git's "simple" variant: no options at all, and so the old protocol."""
    git.speaks = {"GIT_SSH_COMMAND": git.tools.shell, "GIT_SSH_VARIANT": "simple"}
    one = git.work()
    assert "version 2" not in git.trace("ls-remote", "origin", cwd=one)
    git.tools.one_login()


def test_git_protocols(git):
    """Version 2 needs the variable GIT_PROTOCOL on the far side; both share the one transport."""
    one = git.work()
    assert "version 2" in git.trace("-c", "protocol.version=2", "ls-remote", "origin", cwd=one)
    assert "version 1" in git.trace("-c", "protocol.version=1", "ls-remote", "origin", cwd=one)
    old = git.trace("-c", "protocol.version=0", "ls-remote", "origin", cwd=one)
    assert "version 1" not in old and "version 2" not in old
    git.tools.one_login()


def test_git_ssh_is_one_word(git):
    """GIT_SSH: called "ssh" it gets ssh's options at once, also a port and -4 from git."""
    git.speaks = {"GIT_SSH": git.tools.wrapper}
    port, user = git.tools.sshd.port, git.tools.box.account.name
    git.url = f"ssh://{user}@h:{port}{git.bare}"
    one = git.work()
    assert "version 2" in git.trace("ls-remote", "origin", cwd=one)
    git.tools.one_login()
    git("fetch", "-q", "-4", cwd=one)  # an address family makes a transport of its own


@pytest.mark.parametrize("key", ["GIT_SSH", "GIT_SSH_COMMAND"])
def test_git_probes_what_is_not_called_ssh(git, key):
    """git asks a program of another name with -G whether it is like ssh: it is."""
    tools = git.tools
    log = tools.dir / "handed"
    real = tools.program("real-ssh", f'echo "$@" >>{log}; exec ssh "$@"')
    git.speaks = {key: tools.program("hawser", f'exec {tools.shell} "$@"'),
                  "HAWSER_FALLBACK": None, "HAWSER_SSH": real}
    one = git.work()
    assert "version 2" in git.trace("ls-remote", "origin", cwd=one)
    handed = log.read_text().splitlines() if log.exists() else []
    assert all("-G" in line.split() for line in handed), handed
    tools.one_login()


def test_git_config_names_the_ssh(git):
    """core.sshCommand of a clone, and for a clone by -c."""
    git.speaks = {}
    git("clone", "-q", "-c", f"core.sshCommand={git.tools.shell}", "-c", "ssh.variant=ssh",
        git.url, git.tools.dir / "three")
    three = git.tools.dir / "three"
    git.commit(three, "third")
    git("push", "-q", "origin", "HEAD:main", cwd=three)
    git("fetch", "-q", cwd=three)
    assert git.head(three, "origin/main") == git.head(three)
    assert "version 2" in git.trace("ls-remote", "origin", cwd=three)
    git.tools.one_login()


def test_git_says_what_failed(git):
    """A repository that is not there: the server's words and git's status."""
    done = git.tools.attempt("git", "ls-remote", "h:/no.such/dir", env=git.speaks)
    assert done.returncode == 128 and "'/no.such/dir' does not appear to be a git" in done.stderr
    git.tools.one_login()
