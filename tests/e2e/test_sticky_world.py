"""Sticky shells and what is around them: servers of all kinds, forwards, agents, host keys."""
import pathlib
import pwd
import shutil
import stat

import pexpect
import pytest

from stickies import ask, cut, drop, end, folder, leave, serve, sticky, stop
from test_agent_forward import Agent
from test_back import reaches, transports
from test_suspect import Frozen
from util import alive, free_port, read_text, wait_for


def test_server_that_asks(bare):
    """Before it runs what it was asked for, at each login: it gets its answer."""
    serve(bare, ForceCommand='printf "code: "; read x; eval "$SSH_ORIGINAL_COMMAND"')
    term = bare.spawn("--sticky", "-t", "h", "echo be''gun; read x; exit $x")
    for go in range(2):
        term.expect("code: ")
        term.send("1234\r")
        term.expect("again after" if go else "begun")
        if not go:
            cut(bare)
            term.expect("reconnecting")
    term.send("7\r")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 7


@pytest.mark.parametrize("says", ["echo for''ced", ":"])
@pytest.mark.parametrize("how", ["ends", "lost", "left"])
def test_forced_command(bare, how, says):
    """A server that runs something else: once, whatever comes of the connection, and of the end."""
    ran, go = bare.dir / "ran", bare.dir / "go"
    ran.touch()
    ran.chmod(0o666)
    serve(bare, ForceCommand=f"echo once >>{ran}; {says}; "
                             f"until test -e {go}; do sleep 0.05; done; exit 3")
    term = bare.spawn("--sticky", "-t", "h", "true")
    wait_for(lambda: read_text(ran), "its start")
    if how == "lost":
        cut(bare)
        term.expect("the command had been running|not known whether the command ran")
    elif how == "left":
        term.send("\r~.")
    go.touch()
    text = term.read().decode()
    term.wait()
    wait_for(lambda: not [t for t in transports(bare) if t["sessions"]], "the end of all")
    assert term.exitstatus == (3 if how == "ends" else 255)
    assert ran.read_text() == "once\n" and "reconnecting" not in text
    assert "still runs there" not in text


def impostor(box):
    """The server comes back with other host keys."""
    kinds = "ed25519", "ecdsa", "rsa"
    for kind in kinds:
        box.keys.make("host_new" + kind, kind)
    box.sshd.host_keys = tuple("new" + kind for kind in kinds)
    box.sshd.start()


@pytest.mark.parametrize("strict,forward", [("yes", False), ("no", False), ("no", True)])
def test_changed_host_key(warm, strict, forward):
    """Nothing is attached to, nor typed into, a server that is not known to be the one; what to do
    about the key is said first."""
    warm.host("h", warm.sshd, StrictHostKeyChecking=strict, ExitOnForwardFailure="yes")
    term = sticky(warm, *(("-L", f"{free_port()}:127.0.0.1:1") if forward else ()))
    pid = ask(term, "$$")
    where = folder(pid)
    stop(warm)
    term.expect("reconnecting")
    sessions = warm.sshd.sessions()
    impostor(warm)
    text = term.read().decode()
    term.wait()
    assert term.exitstatus == 255 and warm.sshd.sessions() == sessions
    key = text.index("ssh-keygen" if strict == "yes" else "see the warning about the host key")
    assert "still runs there" in text[key:] and "again after" not in text
    assert alive(int(pid))
    end(where)


def test_forward_that_was_added(warm, echoing):
    """One of ~C comes back with its connection, as one of the call does."""
    mine, added = free_port(), free_port()
    where = f"127.0.0.1:{echoing.port}"
    term = sticky(warm, "-o", "EnableEscapeCommandline=yes", "-L", f"{mine}:{where}")
    term.send("\r~C")
    term.expect("ssh> ")
    term.send(f"-L {added}:{where}\r")
    term.expect("Forwarding port")
    for _ in range(2):
        drop(warm, term)
        assert reaches(mine) and reaches(added)
    leave(term)


def test_forward_on_another_connection(bare, echoing):
    """The forwards' connection is lost, and the shell's is not: told."""
    serve(bare, MaxSessions="1")
    port = free_port()
    other = bare.popen("h", "echo up; exec sleep 300")
    assert other.stdout.readline() == b"up\n"
    term = sticky(bare, "-L", f"{port}:127.0.0.1:{echoing.port}")
    pid = ask(term, "$$")
    bare.sshd.cut_what_runs("300")
    term.expect("the forwards ended with it")
    assert ask(term, "$$") == pid
    term.send("exit\r")
    term.expect(pexpect.EOF)


def test_remote_forward_that_is_held(proxied, echoing):
    """The server holds the port for the old connection: waited for, and told."""
    port = free_port()
    term = sticky(proxied, "-R", f"{port}:127.0.0.1:{echoing.port}")
    assert reaches(port)
    with Frozen(proxied.sshd):
        proxied.proxy.reset()
        term.expect(f"waiting for the server to free port {port}")
        term.expect("again after")
    term.expect("the forwards stand again")
    assert reaches(port)
    leave(term)


def test_lost_before_the_answer(proxied):
    """Before our script has said a word: as with any other request, and nothing is asked again."""
    began = proxied.dir / "began"
    proxied.dir.chmod(0o777)
    proxied.ok("h", "true")
    proxied.proxy.delay(1)
    term = proxied.spawn("--sticky", "-t", "h", f"pwd >{began}; exit 7")
    wait_for(began.exists, "its start", 30)
    proxied.proxy.delay(0)
    proxied.proxy.reset()
    term.expect("it is not known whether the command ran")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255
    left, = [p for p in pathlib.Path("/tmp").glob("hawser-*")
             if p.stat().st_uid == pwd.getpwnam(proxied.account.name).pw_uid
             and list(p.glob("status.7"))]
    shutil.rmtree(left)


def test_added_forward_lost_before_the_answer(proxied, echoing):
    """~C -R, and the connection is lost before the server says anything: told."""
    port = free_port()
    term = sticky(proxied, "-o", "EnableEscapeCommandline=yes")
    proxied.proxy.delay(1)
    term.send("\r~C")
    term.expect("ssh> ")
    term.send(f"-R {port}:127.0.0.1:{echoing.port}\r")
    wait_for(lambda: f"from LOCALHOST:{port}" in read_text(proxied.daemon_log), "it is asked")
    proxied.proxy.delay(0)
    proxied.proxy.reset()
    term.expect("Port forwarding failed")
    term.expect("again after")
    leave(term)


def test_queue_is_not_for_who_comes_back(bare, echoing):
    """Two shells with forwards come back at once, and one request may wait."""
    bare.daemon_conf(queue=1)
    serve(bare)
    terms = [sticky(bare, "-L", f"{free_port()}:127.0.0.1:{echoing.port}") for _ in range(2)]
    cut(bare)
    for term in terms:
        term.expect("again after")
        leave(term)


@pytest.mark.parametrize("what", ["no such TERM", "a tmux that fails"])
def test_agent_without_multiplexer(bare, what):
    """The plain shell has the agent that was lent."""
    agent = Agent(bare, "one")
    env = agent.env
    if what == "no such TERM":
        env = {**env, "TERM": "xterm-nosuch"}
        serve(bare)
    else:
        without_multiplexer(bare, ("tmux", "exit 1"), ("ssh-add", 'exec /usr/bin/ssh-add "$@"'),
                            ("ln", 'exec /usr/bin/ln "$@"'))
    term = bare.spawn("--sticky", "-A", "-t", "h", "ssh-add -l; exit 4", env=env)
    text = term.read().decode()
    term.wait()
    assert agent.fingerprint in text and "does not survive" in text and term.exitstatus == 4


def test_files_that_were_cleaned_away(warm):
    """Something took the old files of /tmp away, and left the sockets: said; what runs is left."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    for p in where.iterdir():
        if p.is_file():
            assert p.stat().st_mode & stat.S_ISVTX  # as systemd-tmpfiles lets be
            p.unlink()
    cut(warm)
    term.expect(f"hawser: {where} was damaged: the shell can not be attached to")
    term.expect(pexpect.EOF)
    wait_for(lambda: not [t for t in transports(warm) if t["sessions"]], "the end of the errand")
    assert alive(int(pid)) and where.exists()
    end(where)


def test_byte_that_could_begin_a_marker(bare):
    """It is not held back for long, nor at all where nothing is kept."""
    without_multiplexer(bare, ("printf", 'exec /usr/bin/printf "$@"'))
    term = bare.spawn("--sticky", "-t", "h", "printf 'go\\001'; read x; exit $x")
    term.expect("go")
    term.expect("\x01")
    term.send("5\r")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 5


def without_multiplexer(box, *more):
    """A server whose users have next to nothing, and these scripts."""
    path = box.dir / "tools"
    path.mkdir()
    for name in {"sh", "bash", "rm", "mkdir", "cat", "stty", "sleep"} - set(dict(more)):
        (path / name).symlink_to(f"/usr/bin/{name}")
    for name, text in more:
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    return serve(box, SetEnv=f"PATH={path}")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("why,more", [
    ("this host has none of tmux, screen, dtach and abduco", ()),
    ("tmux did not start", [("tmux", "exit 1")]),
    ("can not be made", [("mkdir", "exit 1")])])
def test_none_there(bare, why, more, lost):
    """A server without a multiplexer that works: said plainly, an ordinary shell; it ends with its
    connection, as said."""
    without_multiplexer(bare, *more)
    term = bare.spawn("--sticky", "-t", "h", "echo ordi''nary; read x; exit 4")
    term.expect(why)
    term.expect("the command does not survive its connection")
    term.expect("ordinary")
    if lost:
        cut(bare)
        term.expect(r"the command had been running for \d")
    else:
        term.send("\r")
    text = term.read().decode()
    term.wait()
    assert term.exitstatus == (255 if lost else 4)
    assert "reconnecting" not in text and "runs there" not in text


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish", "tcsh"])
def test_login_shells(bare, shell):
    """Our words mean the same to each login shell (where the machine has it), as sshd runs them."""
    if shutil.which(shell) is None:
        pytest.skip("this machine has no such shell")
    force = f'SHELL={shutil.which(shell)} exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
    serve(bare, ForceCommand=force)
    term = bare.spawn("--sticky", "-t", "h", "echo be\"gun\"; sh -c 'read x; echo it$x!; exit 6'")
    term.expect("begun")
    drop(bare, term)
    term.send("self\r")
    term.expect("itself!")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 6


@pytest.mark.parametrize("end_of_it,told", [("exit 3", "ended with status 3"),
                                            ("kill -9 $$", "was ended by signal KILL")])
def test_login_shell_that_fails(bare, end_of_it, told):
    """The server's login shell ends before it attaches: not taken for the shell's own end."""
    first = bare.dir / "first"
    bare.dir.chmod(0o777)
    serve(bare, ForceCommand=f'if mkdir {first} 2>/dev/null; then eval "$SSH_ORIGINAL_COMMAND"; '
                             f"else echo no more processes; {end_of_it}; fi")
    term = sticky(bare)
    pid = ask(term, "$$")
    where = folder(pid)
    cut(bare)
    term.expect(f"did not attach again: the login shell there {told}")
    term.expect(rf"it still runs there: `tmux -S {where}/t attach`")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255 and alive(int(pid))
    end(where)
