"""The tools that run ssh: each works through hawser, over one login."""
import json
import os
import shutil
import subprocess

import pytest

from daemon import HAWSER
from util import pattern, sha_file


@pytest.fixture
def tools(cold):
    """A program of one word (for -S and Ansible) that is hawser with our configuration."""
    cold.wrapper = cold.dir / "ssh"
    cold.wrapper.write_text(f'#!/bin/sh\nexec {HAWSER} -F {cold.config} "$@"\n')
    cold.wrapper.chmod(0o755)
    cold.start_daemon()
    cold.far = cold.account.home / "far"
    cold.far.mkdir()
    os.chown(cold.far, cold.account.uid, cold.account.gid)
    yield cold
    shutil.rmtree(cold.far, ignore_errors=True)


def run(box, *words, cwd=None, env=None, timeout=100):
    done = subprocess.run([str(w) for w in words], env={**box.env, **(env or {})},
                          cwd=str(cwd or box.dir), stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=timeout)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def tree(folder):
    """{relative path: checksum} of a directory."""
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            found[os.path.relpath(path, folder)] = sha_file(path)
    return found


def make_tree(folder, files=60):
    for i in range(files):
        path = folder / f"d{i % 7}" / f"file {i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pattern(i * 997, i))
    (folder / "large").write_bytes(pattern(3 << 20, 77))
    return tree(folder)


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
def test_rsync(tools):
    """rsync -e hawser, there and back, with --delete; one login."""
    source, back = tools.dir / "source", tools.dir / "back"
    source.mkdir()
    content = make_tree(source)
    shell = " ".join(tools.command())
    run(tools, "rsync", "-a", "-e", shell, f"{source}/", f"h:{tools.far}/")
    assert tree(tools.far) == content
    (source / "large").unlink()
    del content["large"]
    run(tools, "rsync", "-a", "--delete", "-e", shell, f"{source}/", f"h:{tools.far}/")
    run(tools, "rsync", "-a", "-e", shell, f"h:{tools.far}/", f"{back}/")
    assert tree(back) == content
    if HAWSER != "/usr/bin/ssh":
        assert tools.sshd.logins() == 1


@pytest.mark.core
@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git(tools):
    """git clone, push, fetch by GIT_SSH_COMMAND; one login."""
    env = {"GIT_SSH_COMMAND": " ".join(tools.command()), "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
           "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    url = f"h:{tools.far}/repo.git"
    tools.ok("h", f"git init -q --bare {tools.far}/repo.git")
    one, two = tools.dir / "one", tools.dir / "two"
    run(tools, "git", "clone", "-q", url, one, env=env)
    (one / "file").write_text("first\n")
    run(tools, "git", "add", ".", cwd=one, env=env)
    run(tools, "git", "commit", "-qm", "first", cwd=one, env=env)
    run(tools, "git", "push", "-q", "origin", "HEAD:main", cwd=one, env=env)
    run(tools, "git", "clone", "-q", "-b", "main", url, two, env=env)
    assert (two / "file").read_text() == "first\n"
    (two / "file").write_text("second\n")
    run(tools, "git", "commit", "-qam", "second", cwd=two, env=env)
    run(tools, "git", "push", "-q", "origin", "HEAD:main", cwd=two, env=env)
    run(tools, "git", "fetch", "-q", "origin", cwd=one, env=env)
    assert run(tools, "git", "log", "-1", "--format=%s", "origin/main", cwd=one,
               env=env) == "second\n"
    if HAWSER != "/usr/bin/ssh":
        assert tools.sshd.logins() == 1


@pytest.mark.oracle
@pytest.mark.parametrize("mode", [[], ["-O"]])
def test_scp(tools, mode):
    """scp -S hawser, both protocols, there and back, a directory; one login."""
    source = tools.dir / "source"
    source.mkdir()
    content = make_tree(source, 10)
    run(tools, "scp", *mode, "-q", "-r", "-S", tools.wrapper, source, f"h:{tools.far}/copy")
    assert tree(tools.far / "copy") == content
    run(tools, "scp", *mode, "-q", "-r", "-S", tools.wrapper, f"h:{tools.far}/copy",
        tools.dir / "back")
    assert tree(tools.dir / "back") == content
    if HAWSER != "/usr/bin/ssh":
        assert tools.sshd.logins() == 1


@pytest.mark.oracle
def test_sftp(tools):
    """sftp -S hawser with a batch; one login."""
    (tools.dir / "small").write_bytes(pattern(100000, 5))
    batch = tools.dir / "batch"
    batch.write_text(f"cd {tools.far}\nput small\nget small got\nmkdir sub\nls\n")
    run(tools, "sftp", "-q", "-S", tools.wrapper, "-b", batch, "h")
    run(tools, "sftp", "-q", "-S", tools.wrapper, "-b", "/dev/null", "h")
    assert sha_file(tools.dir / "got") == sha_file(tools.dir / "small")
    if HAWSER != "/usr/bin/ssh":
        assert tools.sshd.logins() == 1


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which("ansible"), reason="ansible is not installed")
def test_ansible(tools):
    """Ansible's ping with ansible_ssh_executable; one login."""
    inventory = tools.dir / "inventory"
    inventory.write_text(
        f"h ansible_ssh_executable={tools.wrapper} ansible_python_interpreter=/usr/bin/python3 "
        f"ansible_remote_tmp={tools.far}/tmp\n")
    (tools.dir / "ansible.cfg").write_text("[defaults]\n")
    env = {"ANSIBLE_LOCAL_TEMP": str(tools.dir / "tmp"),
           "ANSIBLE_CONFIG": str(tools.dir / "ansible.cfg"),
           "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tools.dir / "cp"), "HOME": str(tools.dir / "home"),
           "ANSIBLE_HOME": str(tools.dir / "home/.ansible"), "ANSIBLE_NOCOLOR": "1"}
    for _ in range(2):
        out = run(tools, "ansible", "all", "-i", inventory, "-m", "ping", "-o", env=env)
        assert "SUCCESS" in out and json.loads(out.split("=>", 1)[1])["ping"] == "pong"
    if HAWSER != "/usr/bin/ssh":
        assert tools.sshd.logins() == 1


@pytest.mark.core
def test_tar_pipe(tools):
    """The classic: tar through the shell, both ways."""
    source = tools.dir / "source"
    source.mkdir()
    content = make_tree(source, 20)
    h = " ".join(tools.command())
    run(tools, "sh", "-c", f"tar -C {source} -cf - . | {h} h 'tar -C {tools.far} -xf -'")
    assert tree(tools.far) == content
    (tools.dir / "back").mkdir()
    run(tools, "sh", "-c", f"{h} h 'tar -C {tools.far} -cf - .' | tar -C {tools.dir}/back -xf -")
    assert tree(tools.dir / "back") == content and tools.sshd.logins() == 1


def test_xargs(tools):
    """xargs -P with hawser: each line once."""
    h = " ".join(tools.command())
    out = run(tools, "sh", "-c", f"seq 60 | xargs -P 20 -I{{}} {h} h 'echo {{}}'")
    assert sorted(map(int, out.split())) == list(range(1, 61))
    assert tools.sshd.logins() <= 6
