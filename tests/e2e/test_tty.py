"""Terminals: size, resize, control characters, job control, and the terminal's state afterwards."""
import hashlib
import os
import re
import signal
import termios

import pexpect
import pytest

from util import alive, kill, state, wait_for

pytestmark = pytest.mark.oracle


def modes(term):
    """The terminal's modes as the caller's programs see them."""
    return termios.tcgetattr(term.child_fd)[:4]


def login(box, *args, **kw):
    """hawser h on a terminal, with a prompt that we know."""
    term = box.spawn(*args, "h", **kw)
    term.expect(r"[$#] ")
    term.sendline("PS1='remote> '; stty -echo")
    term.expect(r"remote> $")
    return term


@pytest.mark.core
def test_shell_with_a_terminal(warm):
    """hawser h is a login shell on a terminal, and ends with the shell's status."""
    term = login(warm)
    term.sendline("test -t 0 && test -t 1 && test -t 2 && echo is-a-$((2+2))-tty")
    term.expect_exact("is-a-4-tty")
    term.sendline("exit 6")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 6


def test_size_is_passed(warm):
    """The remote terminal has the size of the local one."""
    term = login(warm, dimensions=(33, 117))
    term.sendline("stty size")
    term.expect_exact("33 117")


@pytest.mark.core
def test_resize_is_passed(warm):
    """A resize (SIGWINCH) reaches the remote terminal and its program."""
    term = login(warm)
    loop = "trap 'stty size' WINCH; echo arm''ed; while :; do sleep .05; done"
    term.sendline(f'exec sh -c "{loop}"')
    term.expect_exact("armed")
    for rows, cols in ((40, 100), (12, 34), (50, 200)):
        term.setwinsize(rows, cols)
        term.expect_exact(f"{rows} {cols}")


def test_term_is_passed(warm):
    """TERM of this client is the remote terminal's type."""
    term = login(warm, env={"TERM": "vt220"})
    term.sendline("echo term=$TERM.")
    term.expect_exact("term=vt220.")


@pytest.mark.core
def test_interrupt_is_a_byte(warm):
    """^C goes to the remote foreground program, and the session lives on."""
    term = login(warm)
    term.sendline("trap 'echo caught' INT; sleep 100 & wait")
    wait_for(lambda: warm.sshd.remote_processes("sleep"), "the remote sleep")
    term.send("\x03")
    term.expect_exact("caught")
    term.sendline("kill %1; echo still-$((1+1))")
    term.expect_exact("still-2")


def test_quit_suspend_and_eof_are_bytes(warm):
    """^\\, ^Z and ^D are the remote terminal's business."""
    term = login(warm)
    term.sendline("cat -v; echo after-$((3+4))")
    term.sendline("first")
    term.expect_exact("first")
    term.send("\x04")
    term.expect_exact("after-7")
    term.sendline("stty -isig -icanon min 1; printf 'go\\n'; dd bs=1 count=2 2>&- | od -An -tx1")
    term.expect_exact("go")
    term.send("\x1c\x1a")
    term.expect(r"1c 1a")


def test_output_before_exit_is_complete(warm):
    """What was printed just before the end is all there (with a terminal, too)."""
    term = warm.spawn("-t", "h", "seq 20000; exit 4", timeout=60)
    text = term.read().decode().split()
    term.wait()
    assert text[:20000] == [str(i) for i in range(1, 20001)] and term.exitstatus == 4


def test_unicode_and_8_bit(warm):
    """Bytes above 127 pass unchanged both ways."""
    term = login(warm)
    term.sendline("printf '%s' 'zażółć' | od -An -tx1")
    term.expect(r"7a 61 c5 bc c3 b3 c5 82 c4 87")


@pytest.mark.parametrize("words, expected", [
    (["h", "tty"], "not a tty"), (["-t", "h", "tty"], "/dev/"), (["-tt", "h", "tty"], "/dev/"),
    (["-T", "h", "tty"], "not a tty"), (["-t", "-T", "h", "tty"], "not a tty"),
    (["-o", "RequestTTY=yes", "h", "tty"], "/dev/"),
    (["-o", "RequestTTY=no", "h", "tty"], "not a tty"),
])
def test_who_gets_a_terminal(warm, words, expected):
    """-t, -tt, -T and RequestTTY, started from a terminal."""
    term = warm.spawn(*words)
    assert expected in term.read().decode()


def test_t_without_local_terminal(warm):
    """-t without a terminal: ssh's warning, no terminal, the command runs."""
    result = warm.run("-t", "h", "tty")
    assert "not a tty" in result.text
    assert "Pseudo-terminal will not be allocated because stdin is not a terminal" in result.err


@pytest.mark.core
def test_tt_without_local_terminal(warm):
    """-tt: a terminal all the same."""
    result = warm.run("-tt", "h", "tty")
    assert result.status == 0 and result.text.startswith("/dev/")


@pytest.mark.core
def test_terminal_is_raw_while_it_runs_and_restored_after(warm):
    """Modes before and after are the same; in between there is no local echo."""
    shell = warm.shell()
    before = modes(shell)
    shell.sendline("$H -t h 'echo inside; read x; exit 3'")
    shell.expect_exact("inside\r\n")
    wait_for(lambda: not modes(shell)[3] & termios.ICANON, "raw mode")
    assert not modes(shell)[3] & termios.ECHO
    shell.sendline("")
    shell.expect_exact("ready> ")
    assert modes(shell) == before
    shell.sendline("echo status=$?")
    shell.expect(r"status=(\d+)")
    assert shell.match[1] == b"3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_terminal_is_restored_after_a_signal(warm, number):
    """A client that is ended by a signal leaves the terminal as it found it."""
    shell = warm.shell()
    before = modes(shell)
    shell.sendline("$H -tt h 'echo inside; sleep 100'")
    shell.expect_exact("inside\r\n")
    wait_for(lambda: not modes(shell)[3] & termios.ICANON, "raw mode")
    kill(foreground(shell), number)
    shell.expect_exact("ready> ")
    assert modes(shell) == before


def foreground(term):
    """The pid of the terminal's foreground process group's leader."""
    return os.tcgetpgrp(term.child_fd)


def test_tilde_dot_ends_the_session(warm):
    """~. at the start of a line ends the client with 255, the terminal restored."""
    shell = warm.shell()
    before = modes(shell)
    shell.sendline("$H h")
    shell.expect(r"\$ ")
    shell.send("\r~.")
    shell.expect_exact("ready> ")
    assert modes(shell) == before
    shell.sendline("echo status=$?")
    shell.expect(r"status=(\d+)")
    assert shell.match[1] == b"255"


def test_no_escapes_with_e_none(warm):
    """-e none: ~. is just text."""
    term = warm.spawn("-e", "none", "-t", "h", "echo go; read x; read y; echo got:$y")
    term.expect_exact("go\r\n")
    term.send("a\r~.\r")
    term.expect_exact("got:~.")


def test_suspended_client_in_a_job_shell(warm):
    """A client without remote terminal is stopped by ^Z, and goes on after fg."""
    shell = warm.shell()
    before = modes(shell)
    shell.sendline("$H h 'echo begun; sleep 0.5; echo ended'")
    shell.expect_exact("begun\r\n")
    client = foreground(shell)
    shell.send("\x1a")
    shell.expect(r"Stopped.*ready> ")
    assert state(client) == "T"
    assert modes(shell) == before
    shell.sendline("fg")
    shell.expect_exact("ended\r\n")
    shell.expect_exact("ready> ")


def test_background_client_that_reads_the_terminal_stops(warm):
    """A background job that wants the terminal's input is stopped by SIGTTIN, as with ssh."""
    shell = warm.shell()
    shell.sendline("$H h cat & echo pid=$!.; sleep 100")
    shell.expect(r"pid=(\d+)\.")
    client = int(shell.match[1])
    shell.sendline("a line makes the terminal readable")
    wait_for(lambda: state(client) == "T", "the background client is stopped")
    shell.send("\x03")
    shell.expect_exact("ready> ")
    shell.sendline("fg")
    shell.expect_exact("h cat\r\n")
    shell.sendline("typed")
    shell.expect_exact("typed\r\n")  # the local echo
    shell.expect_exact("typed\r\n")  # cat's answer
    shell.send("\x04")
    shell.expect_exact("ready> ")


def test_background_client_with_n_runs_on(warm):
    """With -n a background job never asks for the terminal."""
    shell = warm.shell()
    shell.sendline("$H -n h 'echo from-back; exit 5' & wait $!; echo status=$?")
    shell.expect(r"status=(\d+)")
    assert shell.match[1] == b"5" and b"from-back" in shell.before


def test_two_terminals_do_not_mix(warm):
    """Two shells on one transport have their own terminals and sizes."""
    one, two = login(warm, dimensions=(10, 50)), login(warm, dimensions=(20, 90))
    for term, size in ((one, "10 50"), (two, "20 90")):
        term.sendline("stty size; tty")
        term.expect_exact(size)
    names = []
    for term in (one, two):
        term.expect(r"(/dev/\S+)")
        names.append(term.match[1])
    assert names[0] != names[1]


def test_hangup_of_the_local_terminal(warm):
    """Closing the terminal window ends the client and the remote shell."""
    term = login(warm)
    term.sendline("sleep 98765")
    remote = wait_for(lambda: warm.sshd.remote_processes("98765"), "the remote command")
    client = term.pid
    os.close(term.child_fd)
    term.closed = True
    warm.terminals.remove(term)
    wait_for(lambda: not alive(client), "the client's end")
    wait_for(lambda: not any(alive(p) for p in remote), "the remote command's end")
    try:
        os.waitpid(client, 0)
    except ChildProcessError:
        pass


def test_paste_of_64_kb(warm):
    """A large paste arrives whole."""
    term = warm.spawn("-t", "h", "stty raw -echo; echo go; head -c 65536 | md5sum", timeout=60)
    term.expect_exact("go")
    wait_for(lambda: not modes(term)[3] & termios.ICANON, "raw mode")
    data = re.sub(rb"[~\r\n]", b"x", bytes(range(32, 127)) * 700)[:65536]
    term.send(data)
    term.expect_exact(hashlib.md5(data).hexdigest())
