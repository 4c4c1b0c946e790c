"""How sticky shells and commands end: by themselves, by the user, by a lost server."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

import pexpect
import pytest

from faults import FaultProxy
from stickies import Hole, ask, cut, drop, end, folder, leave, full, parent, serve, sticky, stop
from test_back import transports
from test_suspect import Frozen
from util import SLOW, alive, kill, wait_for


def answers(term, pid):
    """It is that shell; None where what was typed was lost, in a connection or to a signal."""
    term.timeout = 2 * SLOW
    with contextlib.suppress(pexpect.TIMEOUT):
        return ask(term, "$$") == pid
    return None


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
    leave(term)


@pytest.mark.parametrize("chatty", [False, True])
@pytest.mark.parametrize("byte", ["\x03", "\x1c", "\x04"])
def test_control_characters_while_away(bare, byte, chatty):
    """They reach the shell, not what attaches to it, nor a login shell that prints something and
    takes its time."""
    login = {"ForceCommand": 'echo hello; sleep 0.5; eval "$SSH_ORIGINAL_COMMAND"'}
    serve(bare, **(login if chatty else {}))
    term = sticky(bare)
    pid = ask(term, "$$")
    where = folder(pid)
    stop(bare)
    term.expect("reconnecting")
    term.send(byte)
    bare.sshd.start()
    term.expect("again after")
    if byte == "\x04":
        term.expect(pexpect.EOF)
        term.wait()
        wait_for(lambda: not where.exists() and not alive(int(pid)), "the shell's end")
        assert term.exitstatus == 0
    else:
        wait_for(lambda: answers(term, pid), "the shell", 30)
        leave(term)
        wait_for(lambda: not where.exists(), "the directory is taken away")


def test_umask(warm):
    """The shell has the user's, not that of the directory."""
    plain = warm.ok("h", "umask").strip()
    term = warm.spawn("--sticky", "-t", "h", "echo m:$(umask):")
    assert f"m:{plain}:" in term.read().decode()


def test_long_command(warm):
    """One that would not fit runs as any other does; nobody else is harmed."""
    other = warm.popen("h", "echo on; cat", stdin=subprocess.PIPE)
    assert other.stdout.readline() == b"on\n"
    term = warm.spawn("--sticky", "-t", "h", ": '" + ";" * 30000 + "'; echo le''ngth; exit 5")
    text = term.read().decode()
    term.wait()
    assert "too long to be kept" in text and "length" in text and term.exitstatus == 5
    assert other.communicate(b"x", timeout=20)[0] == b"x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_full_disk(bare):
    """The status of a command needs no room there, not even for a name."""
    path = bare.dir / "tools"
    path.mkdir()
    for name in os.listdir("/usr/bin"):
        if name not in ("tmux", "screen"):
            (path / name).symlink_to(f"/usr/bin/{name}")
    serve(bare, SetEnv=f"PATH={path}")
    go = bare.dir / "go"
    term = bare.spawn("--sticky", "-t", "h",
                      f"echo $$; until test -e {go}; do sleep 0.05; done; exit 7")
    term.expect(r"(\d+)\r\n")
    where = folder(term.match[1].decode())
    run = next(where.glob("run.*")).name
    owner = where.stat()
    with full(where, owner):
        (where / "kind").write_text("dtach\n")
        (where / run).touch()
        with pytest.raises(OSError):
            (where / "more").touch()
        go.touch()
        text = term.read().decode()
        term.wait()
    shutil.rmtree(where, ignore_errors=True)
    assert term.exitstatus == 7, text


@pytest.mark.parametrize("how", ["~.", "exit", "killed"])
def test_end_while_a_lock_drains(warm, how):
    """The connection takes nothing new, but ends what it began."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    assert warm.ctl("lock", "--drain").status == 0
    if how == "~.":
        term.send("\r~.")
    elif how == "exit":
        term.send("exit\r")
    else:
        kill(term.pid, signal.SIGTERM)
    wait_for(lambda: not alive(int(pid)) and not where.exists(), "the shell's end")


def hang_up(term):
    term.send("\r~.")
    term.expect(pexpect.EOF)
    term.wait()


def test_end_that_is_lost(warm):
    """The connection is lost just when ~. is to end the shell: another one does it."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    with Frozen(warm.sshd):
        hang_up(term)
        cut(warm)
    wait_for(lambda: not alive(int(pid)) and not where.exists(), "the shell's end")


@pytest.mark.parametrize("draining", [False, True])
def test_end_that_is_refused(bare, draining):
    """The server allows no session beside the one that is to be ended."""
    bare.daemon_conf(warm=0)
    serve(bare, MaxSessions="1")
    term = sticky(bare)
    pid = ask(term, "$$")
    where = folder(pid)
    if draining:
        assert bare.ctl("close", "h").status == 0
    hang_up(term)
    wait_for(lambda: not alive(int(pid)) and not where.exists(), "the shell's end")


@pytest.mark.parametrize("again", [False, True])
def test_detached(warm, again):
    """Somebody detaches the client: the shell lives, and it is said where."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    if again:
        drop(warm, term)
        assert ask(term, "$$") == pid
    subprocess.run(["tmux", "-S", str(where / "t"), "detach-client", "-s", "0"], check=True)
    term.expect(f"detached from the shell, which still runs there, in {where}")
    term.expect(pexpect.EOF)
    term.wait()
    wait_for(lambda: transports(warm)[0]["sessions"] == 0, "the end of the errand, too")
    assert term.exitstatus == 255 and alive(int(pid))
    end(where)


def test_killed(warm):
    """Somebody ends what runs there: told, not left to be guessed."""
    term = sticky(warm)
    pid = ask(term, "$$")
    where = folder(pid)
    for p in (parent(pid), int(pid)):
        kill(p)
    term.expect("the shell was ended from outside")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255
    wait_for(lambda: not where.exists(), "the directory to be taken away")


def test_stopped(warm):
    """hawserctl stop: told where the shell is."""
    term = sticky(warm)
    where = folder(ask(term, "$$"))
    warm.ctl("stop", "--now")
    term.expect(rf"it still runs there: `tmux -S {where}/t attach`")
    term.expect(pexpect.EOF)
    end(where)


def test_left_after_close(warm):
    """The connection drains: leaving the shell opens no other, and leaves nothing behind."""
    term = sticky(warm)
    where = folder(ask(term, "$$"))
    logins = warm.sshd.logins()
    assert warm.ctl("close", "h").status == 0
    term.send("exit 7\r")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 7
    wait_for(lambda: not where.exists() and not transports(warm), "the directory is gone")
    assert warm.sshd.logins() == logins


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
        wait_for(lambda: answers(term, pid), "the shell", 30)
        where = folder(pid)
        term.sendline("exit")
        term.expect(pexpect.EOF)
        wait_for(lambda: not where.exists(), "the end of what was there")


@pytest.mark.core
def test_closed_by_user(warm):
    """hawserctl close: not opened again behind the user's back; told where the shell is."""
    term = sticky(warm)
    where = folder(ask(term, "$$"))
    assert warm.ctl("close", "--force", "h").status == 0
    term.expect(rf"it still runs there: `tmux -S {where}/t attach`")
    term.expect(pexpect.EOF)
    end(where)


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
