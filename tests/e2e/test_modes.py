"""The user's own terminal keys and UTF-8 erase in the remote terminal."""
import os
import re
import subprocess

import pexpect
import pytest

from daemon import HAWSERD
from util import read_text, wait_for

oracle = pytest.mark.oracle


def libssh_sends_modes():
    """libssh 0.10 is libssh.so.4.9, and cannot."""
    libraries = subprocess.run(["ldd", HAWSERD], capture_output=True, text=True).stdout
    path = os.path.realpath(re.search(r"libssh\.so\.4 => (\S+)", libraries)[1])
    return int(re.search(r"\.so\.4\.(\d+)", path)[1]) >= 10


def spawn(box, stty, *args):
    """hawser on a terminal that the user has set as stty says."""
    words = " ".join(f"'{w}'" for w in box.command(*args))
    return box.spawn("-c", f"stty {stty}; exec {words}", program="/bin/sh")


READ = "stty -echo; echo up; read line; echo \"<$line>\""


@oracle
@pytest.mark.parametrize("stty, typed", [
    ("erase ^H", b"abX\x08c\r"),
    ("erase ^?", b"abX\x7fc\r"),
    ("kill ^A", b"wrong\x01abc\r"),
    ("werase ^G", b"ab wrong\x07\x7fc\r"),
    ("eof ^E", b"abc\x05\x05"),
])
def test_editing_keys(warm, stty, typed):
    """A line that is edited with the user's own keys arrives edited."""
    term = spawn(warm, stty, "-t", "h", READ)
    term.expect_exact("up\r\n")
    term.send(typed)
    term.expect_exact("<abc>")


@oracle
@pytest.mark.parametrize("stty, key", [("intr ^X", b"\x18"), ("quit ^B", b"\x02"),
                                       ("intr ^? erase ^H", b"\x7f")])
def test_signal_keys(warm, stty, key):
    """The user's own interrupt and quit keys end the remote program."""
    term = spawn(warm, stty, "-t", "h",
                 "trap \"echo caught\" INT QUIT; stty -echo; echo up; sleep 60; echo on")
    term.expect_exact("up\r\n")
    # The program itself, not the shell that has its name in a command line.
    wait_for(lambda: warm.sshd.remote_processes("sleep\0" + "60"), "the remote sleep")
    term.send(key)
    term.expect_exact("on")


@oracle
def test_other_bytes_are_left_alone(warm):
    """Nothing is translated where the user's keys are the usual ones, nor without a terminal."""
    every = bytes(b for b in range(1, 256) if b not in b"\x11\x13")
    term = spawn(warm, "sane", "-t", "-e", "none", "h",
                 f"stty raw -echo; printf up; head -c {len(every)} | od -An -v -tx1; echo end")
    term.expect_exact("up")
    term.send(every)
    term.expect_exact("end")
    seen = bytes.fromhex("".join(term.before.decode().split()))
    assert seen == every
    term = spawn(warm, "erase ^H intr ^X", "-T", "h", "head -c 4 | od -An -tx1")
    term.send(b"a\rb\r")
    term.expect(r"61 0a 62 0a")


@oracle
def test_escapes_come_first(warm):
    """The escape character is the one that was typed, whatever it would be translated to."""
    term = spawn(warm, "erase ^H", "-t", "-e", "^H", "h", "stty -echo; echo up; cat")
    term.expect_exact("up\r\n")
    term.send(b"\x08.")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


@oracle
def test_no_local_terminal(warm):
    """-tt without a terminal: nothing is known, the remote terminal is a fresh one."""
    out = warm.ok("-tt", "h", "stty -a")
    assert re.search(r"intr = \^C; quit = \^\\; erase = \^\?; kill = \^U", out)


def test_modes_by_command(cold):
    """terminal-modes = stty: the login shell has the user's keys and erases UTF-8 characters."""
    cold.daemon_conf(terminal_modes="stty")
    cold.start_daemon()
    term = spawn(cold, "iutf8 erase ^H intr ^X", "h")
    term.expect(r"[$#] ")
    term.sendline("stty -a; echo e''nd; echo login=$0")
    term.expect_exact("end")
    shown = term.before.decode()
    assert "intr = ^X" in shown and "erase = ^H" in shown
    assert re.search(r"(?<!-)\biutf8", shown)
    term.expect(r"login=\S+")
    term.sendline("stty -echo; echo u''p; read line; echo \"$line\" | od -An -tx1")
    term.expect_exact("up\r\n")
    term.send("aé\x08b\r".encode())
    term.expect_exact("61 62 0a")
    term.sendline("exit 3")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 3
    by_command = "Starting session: command on" in read_text(cold.sshd.log)
    assert by_command != libssh_sends_modes()


def test_modes_by_command_only_for_shells_on_terminals(cold):
    """terminal-modes = stty: a command, and a shell without a local terminal, stay as they are."""
    cold.daemon_conf(terminal_modes="stty")
    cold.start_daemon()
    term = spawn(cold, "erase ^H", "-t", "h", "stty -a; echo \"<$SSH_ORIGINAL_COMMAND>\"")
    assert f"erase = {'^H' if libssh_sends_modes() else '^?'}" in term.read().decode()
    shell = cold.popen("-tt", "h", stdin=subprocess.PIPE)
    shell.communicate(b"exit 5\n", timeout=20)
    assert shell.returncode == 5
    assert "Starting session: shell on" in read_text(cold.sshd.log)
