"""Shells that survive their connection, hawser --sticky: in tmux, screen and dtach."""
import os
import shutil

import pexpect
import pytest

from stickies import ask, drop, folder, leave, serve, sticky, stop
from util import alive, wait_for

KINDS = ["tmux", "screen", "dtach"]


@pytest.fixture(params=KINDS)
def with_kind(request, bare):
    """A server that has one of the multiplexers; its users have another directory for each."""
    path = bare.dir / "tools"
    path.mkdir()
    for name in sorted(os.listdir("/usr/bin")):
        if name not in KINDS or name == request.param:
            (path / name).symlink_to(f"/usr/bin/{name}")
    return serve(bare, SetEnv=f"PATH={path}")


def test_ten_drops(with_kind):
    """The same shell, with its variables and history, after ten lost connections."""
    term = sticky(with_kind)
    pid = ask(term, "$$")
    where = folder(pid)
    term.send("keep=sake\r")
    assert ask(term, "$keep") == "sake"  # it has got there
    for _ in range(10):
        drop(with_kind, term)
        assert ask(term, "$$") == pid and ask(term, "$keep") == "sake"
    assert ask(term, "$(history | grep -c '^ *[0-9]* *keep=sake')") == "1"
    term.send("exit 7\r")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 7
    wait_for(lambda: not where.exists(), "the directory to be taken away")


def test_escape_ends_the_remote_shell(with_kind):
    """~. ends the shell at the server, as with ssh."""
    term = sticky(with_kind)
    pid = ask(term, "$$")
    where = folder(pid)
    term.send("\r~.")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255
    wait_for(lambda: not alive(int(pid)) and not where.exists(), "the end of the remote shell")


def test_by_hand(with_kind):
    """hawserd is stopped: the shell is attached to by the command that was said."""
    term = sticky(with_kind)
    pid = ask(term, "$$")
    where = folder(pid)
    with_kind.ctl("stop", "--now")
    term.expect("it still runs there: `([^`]*)`")
    words = term.match[1].decode()
    term.expect(pexpect.EOF)
    with_kind.start_daemon()
    again = with_kind.spawn("-t", "h", words)
    assert ask(again, "$$") == pid
    again.send("exit\r")
    again.expect(pexpect.EOF)
    assert not alive(int(pid))
    shutil.rmtree(where)


def test_size_changes_while_away(with_kind):
    """The shell has the terminal's size of now."""
    term = sticky(with_kind, dimensions=(30, 100))
    assert ask(term, "$(stty size)") == "30 100"
    stop(with_kind)
    term.expect("reconnecting")
    term.setwinsize(40, 120)
    with_kind.sshd.start()
    term.expect("again after")
    wait_for(lambda: ask(term, "$(stty size)") == "40 120", "the new size")
    leave(term)
