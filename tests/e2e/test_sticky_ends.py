"""How sticky shells and commands end: by themselves, by the user, by a lost server."""
import contextlib
import shutil
import subprocess
import time

import pexpect
import pytest

from faults import FaultProxy
from stickies import Hole, ask, drop, folder, parent, serve, sticky, stop
from test_suspect import transports
from util import SLOW, alive, kill, wait_for


def end(where):
    """Of a shell that was left there."""
    assert where.exists()
    subprocess.run(["tmux", "-S", str(where / "t"), "kill-server"], check=True)
    shutil.rmtree(where)


def test_escape_while_away(warm):
    """~. works while there is no connection; the shell ends once there is one."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    stop(warm)
    term.expect("reconnecting")
    term.send("\r~.")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255 and alive(int(pid))
    warm.sshd.start()
    wait_for(lambda: not alive(int(pid)) and not where.exists(), "the end of the remote shell")


@pytest.mark.core
def test_typed_while_away(warm):
    """It reaches the shell when that is attached again."""
    term = sticky(warm)
    stop(warm)
    term.expect("reconnecting")
    term.send("echo ty''ped\r")
    warm.sshd.start()
    term.expect("again after")
    term.expect("typed")


def test_shell_that_is_gone(warm):
    """Killed while away, as by a restart of the host: told, with 255."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    stop(warm)
    term.expect("reconnecting")
    server = parent(parent(pid))
    for p in (server, int(pid)):
        kill(p)
    for p in where.iterdir():
        p.unlink()
    where.rmdir()
    warm.sshd.start()
    term.expect("the shell is not there any more")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


def test_no_session_any_more(warm):
    """A server that takes logins, but no session any more: said, and where the shell is."""
    term = sticky(warm)
    where = folder(ask(term, "$$"))
    stop(warm)
    term.expect("reconnecting")
    warm.sshd.options["MaxSessions"] = "0"
    warm.sshd.start()
    term.expect("allows no session at all")
    term.expect(rf"it still runs there: `tmux -S {where}/t attach`")
    term.expect(pexpect.EOF)
    end(where)


def test_dropped_while_away(bare):
    """A server that takes logins and drops them: tried at leisure, for as long as it takes."""
    bare.sshd = bare.server()
    with FaultProxy(bare.sshd.port) as proxy:
        bare.host("h", proxy)
        bare.trust(proxy)
        bare.start_daemon()
        term = sticky(bare)
        pid = ask(term, "$$")
        logins, begun = bare.sshd.logins(), time.monotonic()

        def four_more():
            if [t for t in transports(bare) if t["state"] == "ready"]:
                proxy.reset()
            return bare.sshd.logins() >= logins + 4
        wait_for(four_more, "four logins", 30)
        assert time.monotonic() - begun > 0.5
        term.timeout = 2 * SLOW

        def same_shell():
            with contextlib.suppress(pexpect.TIMEOUT):  # what was typed into a dying connection
                return ask(term, "$$") == pid
        wait_for(same_shell, "the shell", 30)


@pytest.mark.core
def test_closed_by_user(warm):
    """hawserctl close: not opened again behind the user's back; told where the shell is."""
    term = sticky(warm)
    where = folder(ask(term, "$$"))
    assert warm.ctl("close", "--force", "h").status == 0
    term.expect(rf"it still runs there: `tmux -S {where}/t attach`")
    term.expect(pexpect.EOF)
    end(where)


def test_none_there(bare):
    """A server without a multiplexer: said plainly, an ordinary shell."""
    path = bare.dir / "tools"
    path.mkdir()
    for name in ("sh", "bash", "rm", "mkdir", "cat", "stty"):
        (path / name).symlink_to(f"/usr/bin/{name}")
    serve(bare, SetEnv=f"PATH={path}")
    term = bare.spawn("--sticky", "-t", "h", "echo ordi''nary; exit 4")
    text = term.read().decode()
    term.wait()
    assert "this host has none of tmux, screen, dtach and abduco" in text
    assert "ordinary" in text and term.exitstatus == 4


def test_command_gives_its_status(warm):
    """--sticky -t host command: output, and status; words that a shell could misread."""
    term = warm.spawn("--sticky", "-t", "h", "echo \"it's\" '$HOME' \\\\ !x %d; exit 5")
    text = term.read().decode()
    term.wait()
    assert "it's $HOME \\ !x %d" in text and term.exitstatus == 5


def test_command_that_ended_while_away(warm):
    """What it printed, and its status, come with the next connection."""
    go = warm.dir / "go"
    term = warm.spawn("--sticky", "-t", "h",
                      f"echo begun; until test -e {go}; do sleep 0.05; done; echo l''ast; exit 9")
    term.expect("begun")
    stop(warm)
    term.expect("reconnecting")
    go.touch()
    wait_for(lambda: not warm.sshd.remote_processes(f"until test -e {go}"), "the command's end")
    warm.sshd.start()
    term.expect("last")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 9


def test_without_a_terminal(warm):
    """A script's command runs as ever; -v says that it does not survive."""
    result = warm.run("--sticky", "-v", "h", "echo plain; exit 3")
    assert result.status == 3 and result.text == "plain\n"
    assert "without a terminal nothing can be attached again" in result.err


def test_status_said_into_a_dead_connection(bare):
    """The server believes that it has told the end; the next connection tells it again."""
    sshd = serve(bare).sshd
    go = bare.dir / "go"
    with Hole(sshd.port) as hole:
        bare.host("h", sshd, Port=hole.port, HostKeyAlias=f"[127.0.0.1]:{sshd.port}")
        term = bare.spawn("--sticky", "-t", "h",
                          f"echo begun; until test -e {go}; do sleep 0.05; done; "
                          "echo l''ast; exit 9")
        term.expect("begun")
        hole.swallow()
        go.touch()
        wait_for(lambda: not sshd.remote_processes("hawser-"),
                 "the end of the command and of what ran it")
        hole.end()
        term.expect("last")
        term.expect(pexpect.EOF)
        term.wait()
    assert term.exitstatus == 9


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
