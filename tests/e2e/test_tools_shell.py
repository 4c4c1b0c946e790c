"""hawser in shell pipelines, loops, xargs and ssh-copy-id; one login."""
import os
import shutil
import signal
import subprocess

import pytest

from daemon import ORACLE
from toolbox import make_tree, tree
from util import kill, pattern, sha, sha_file

pytestmark = pytest.mark.oracle


@pytest.mark.core
def test_tar_pipe(tools):
    """The classic: tar through the shell, both ways."""
    source = tools.folder("source")
    content = make_tree(source, 20)
    tools.sh(f"tar -C {source} -cf - . | $H h 'tar -C {tools.far} -xf -'")
    assert tree(tools.far) == content
    tools.folder("back")
    tools.sh(f"$H h 'tar -C {tools.far} -cf - .' | tar -C {tools.dir}/back -xf -")
    assert tree(tools.dir / "back") == content
    tools.one_login()


def test_pipe_from_host_to_host(tools):
    """hawser on both ends of one pipe, through the same transport, compressed on the way."""
    (tools.far / "from").write_bytes(pattern(3 << 20, 6))
    tools.sh(f"$H h 'cat {tools.far}/from' | gzip -1 | $H h 'gunzip >{tools.far}/to'")
    assert sha_file(tools.far / "to") == sha_file(tools.far / "from")
    tools.one_login()


@pytest.mark.core
def test_append_and_read(tools):
    """cat | hawser 'cat >>', here documents, hawser | head, command substitution."""
    data = pattern(300000, 2)
    (tools.dir / "part").write_bytes(data)
    for _ in range(3):
        tools.sh(f"cat part | $H h 'cat >>{tools.far}/sum'")
    tools.sh(f"$H h 'cat >>{tools.far}/sum' <part")
    assert (tools.far / "sum").read_bytes() == data * 4
    tools.sh(f"$H h cat {tools.far}/sum >got")
    assert sha_file(tools.dir / "got") == sha(data * 4)
    assert tools.sh("$H h 'cat; echo end' <<-X\n\tone\n\ttwo $((1 + 2))\n\tX\n") == \
        "one\ntwo 3\nend\n"
    assert tools.sh("x=$($H h 'printf \"a  b\\n\\n\"'); echo \"[$x]\"") == "[a  b]\n"
    # head leaves early: yes is ended by SIGPIPE. 141 is what a remote shell makes of it, 255 what
    # a client says that hears of the signal itself.
    done = tools.attempt("bash", "-c", "$H h 'yes line' | head -n 2; echo ${PIPESTATUS[0]}",
                         env={"H": tools.shell})
    assert done.stdout in ("line\nline\n255\n", "line\nline\n141\n"), done
    tools.one_login()


def test_loops(tools):
    """while read: -n leaves the list alone, without it the first call eats the rest."""
    lines = "".join(f"{i}\n" for i in range(20))
    loop = "while read -r n; do $H {} h \"echo $n\"; done"
    assert tools.sh(loop.format("-n"), input=lines) == lines
    assert tools.sh(loop.format("") + " </dev/null") == ""
    assert tools.sh("while read -r n; do $H h \"echo $n; cat\"; done", input=lines) == lines
    assert tools.sh("for i in 1 2 3; do $H h \"exit $i\" || echo $?; done") == "1\n2\n3\n"
    tools.one_login()


def test_xargs(tools):
    """xargs -P with hawser: each line once; a failing call makes xargs fail."""
    out = tools.sh("seq 60 | xargs -P 20 -I{} $H h 'echo {}'")
    assert sorted(map(int, out.split())) == list(range(1, 61))
    assert ORACLE or tools.sshd.logins() <= 6
    done = tools.attempt("bash", "-c", "seq 6 | xargs -P 3 -I{} $H h 'exit $(({} == 4))'",
                         env={"H": tools.shell})
    assert done.returncode == 123, done
    done = tools.attempt("bash", "-c", "seq 3 | xargs -I{} $H h 'echo {}; exit 255'",
                         env={"H": tools.shell})
    assert (done.returncode, done.stdout) == (124, "1\n"), done  # 255: xargs stops at once


def test_background_and_wait(tools):
    """Jobs in the background with output in files, timeout(1), nohup, a killed client."""
    tools.sh("for i in 1 2 3 4 5; do $H h \"echo $i; exit $i\" >out$i & p[$i]=$!; done\n"
             "for i in 1 2 3 4 5; do s=0; wait ${p[$i]} || s=$?; [ $s = $i ]; done")
    assert [(tools.dir / f"out{i}").read_text() for i in range(1, 6)] == \
        [f"{i}\n" for i in range(1, 6)]
    done = tools.attempt("timeout", "1", *tools.shell.split(), "h", "sleep 100")
    assert done.returncode == 124, done
    assert tools.sh("nohup $H h 'echo in' 2>/dev/null") == "in\n"
    proc = tools.box.popen("h", "echo up; sleep 100")
    assert proc.stdout.readline() == b"up\n"
    kill(proc.pid, signal.SIGTERM)
    assert proc.wait(20) != 0
    tools.one_login()


@pytest.fixture
def agent(tools):
    """An agent of our own that holds the user's key."""
    env = {**tools.env, "SSH_AUTH_SOCK": str(tools.dir / "agent.sock")}
    proc = subprocess.Popen(["ssh-agent", "-D", "-a", env["SSH_AUTH_SOCK"]], env=env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    proc.stdout.readline()
    subprocess.run(["ssh-add", "-q", str(tools.box.keys.user)], env=env, check=True,
                   stdin=subprocess.DEVNULL)
    yield env
    proc.terminate()
    proc.wait(20)
    proc.stdout.close()


@pytest.fixture
def newcomer(bare, tools):
    """A second server "c" where keys of the account's home count, and no key is configured."""
    assert bare.account.temporary, "nothing of a real ~/.ssh is touched"
    server = bare.server(AuthorizedKeysFile=f"{bare.sshd.dir}/authorized_keys .ssh/authorized_keys")
    bare.trust(server)
    bare.host("c", server, IdentityFile=None)
    (bare.dir / "home/.ssh").mkdir(mode=0o700)
    yield server
    shutil.rmtree(bare.account.home / ".ssh", ignore_errors=True)


@pytest.mark.skipif(not shutil.which("ssh-copy-id"), reason="ssh-copy-id is not installed")
def test_ssh_copy_id(tools, agent, newcomer):
    """The real script, with hawser as "ssh" on PATH: it sees that the new key does not work yet,
    installs it by the agent's login, and the second run sees that it works."""
    new = tools.box.keys.make("id_new")
    path = f"{tools.wrapper.parent}:{tools.env['PATH']}"
    copy = ["ssh-copy-id", "-i", f"{new}.pub", "-F", tools.box.config, "-o", "BatchMode=yes", "c"]
    done = tools.attempt(*copy, env={**agent, "PATH": path})
    assert done.returncode == 0 and "Number of key(s) added: 1" in done.stdout, done
    installed = tools.box.account.home / ".ssh/authorized_keys"
    assert installed.read_text() == (new.parent / "id_new.pub").read_text()
    assert newcomer.logins() == 1
    assert tools.box.ok("-i", new, "-o", "IdentitiesOnly=yes", "c", "echo in") == "in\n"
    done = tools.attempt(*copy, env={**agent, "PATH": path})
    assert done.returncode == 0 and "already exist on the remote system" in done.stderr, done
    assert len(installed.read_text().splitlines()) == 1


@pytest.mark.core
def test_key_by_hand(tools, newcomer):
    """What people type instead: cat key | ssh host 'mkdir, cat >>, chmod', over one login."""
    new = tools.box.keys.make("id_other")
    known = ["-i", str(tools.box.keys.user)]
    for _ in range(2):
        tools.sh(f"cat {new}.pub | $H {' '.join(known)} c 'umask 077; mkdir -p ~/.ssh; "
                 "k=$(cat); grep -qxF \"$k\" ~/.ssh/authorized_keys 2>/dev/null || "
                 "echo \"$k\" >>~/.ssh/authorized_keys'")
    text = (tools.box.account.home / ".ssh/authorized_keys").read_text()
    assert text == open(f"{new}.pub").read()
    tools.one_login(newcomer)
    assert tools.box.ok("-i", new, "c", "echo $HOME") == f"{tools.box.account.home}\n"
    assert os.stat(tools.box.account.home / ".ssh").st_mode & 0o777 == 0o700
