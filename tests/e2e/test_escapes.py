"""Escapes typed on a terminal: ssh's own, in ssh's words."""
import os
import signal

import pexpect
import pytest

from util import children, read_text


def session(box, *args, **kw):
    """cat on a remote terminal that does not echo: what we see is cat's or our client's."""
    term = box.spawn(*args, "-t", "h", "stty -echo; echo up; cat; echo cat-ended", **kw)
    term.expect_exact("up\r\n")
    return term


def lives(term, mark):
    """The session goes on: cat sends a line back."""
    term.send(f"{mark}\r")
    term.expect_exact(f"{mark}\r\n")


def help_of(term, char="~"):
    term.send(f"{char}?")
    term.expect_exact("(Note that escapes are only recognized immediately after newline.)\r\n")
    return term.before.decode()


def ends(term):
    """The status of a client that ends now."""
    term.expect(pexpect.EOF)
    term.wait()
    return term.exitstatus


@pytest.mark.parametrize("options", [[], ["-oEnableEscapeCommandline=yes"], ["-oEscapeChar=^x"]])
def test_help_is_sshs(warm, options):
    """Line for line, but for the first: ~. ends this session, not the others on the transport."""
    char = "\x18" if "^x" in "".join(options) else "~"
    ours = help_of(session(warm, *options), char)
    words = ["-F", str(warm.config), *options, "-t", "h", "stty -echo; echo up; cat"]
    ssh = warm.spawn(*words, program="/usr/bin/ssh")
    ssh.expect_exact("up\r\n")
    theirs = help_of(ssh, char)
    assert theirs.replace("connection (and any multiplexed sessions)", "session") == ours


@pytest.mark.oracle
def test_doubled_and_unknown(warm):
    """~~ is one ~, ~x is both characters; in the middle of a line ~ is nothing special."""
    term = session(warm)
    for typed, seen in (("~~.", "~."), ("~x", "~x"), ("a~.", "a~."), ("~~~?", "~~?")):
        term.send(f"{typed}\r")
        term.expect_exact(f"{seen}\r\n")
        assert term.before == b"", typed


@pytest.mark.oracle
def test_loglevel(warm):
    """~V and ~v go down and up, and say where to."""
    term = session(warm)
    for typed, level in (("V", "ERROR"), ("V", "FATAL"), ("V", "SILENT"), ("V", "SILENT"),
                         ("v", "FATAL"), ("v", "ERROR"), ("v", "INFO"), ("v", "VERBOSE")):
        term.send(f"~{typed}")
        term.expect_exact(f"~{typed} [LogLevel {level}]\r\n")
    lives(term, "still")


@pytest.mark.oracle
@pytest.mark.parametrize("options, shown", [
    ([], True), (["-q"], False), (["-oLogLevel=ERROR"], False), (["-oLogLevel=VERBOSE"], True)])
def test_closed_line_by_loglevel(warm, options, shown):
    """"Connection to HOSTNAME closed." is a matter of LogLevel, and so is it after ~V."""
    term = warm.spawn(*options, "-t", "h", "exit 3")
    said = term.read().decode()
    assert ("Connection to 127.0.0.1 closed." in said) == shown, said
    term = session(warm)
    term.send("~V~.")
    assert ends(term) == 255
    assert b"closed" not in term.before


@pytest.mark.oracle
def test_several_at_once(warm):
    """All escapes of one read are done, in order."""
    term = session(warm)
    term.send("~V~V~v")
    term.expect_exact("~V [LogLevel ERROR]\r\n~V [LogLevel FATAL]\r\n~v [LogLevel ERROR]\r\n")


@pytest.mark.oracle
def test_suspend(warm):
    """~^Z stops the client, says so, and fg brings it back."""
    shell = warm.shell()
    shell.sendline("$H -t h 'stty -echo; echo up; cat'")
    shell.expect_exact("up\r\n")
    shell.send("~\x1a")
    shell.expect_exact("~^Z [suspend ssh]\r\n")
    shell.expect_exact("Stopped")
    shell.expect_exact("ready> ")
    shell.sendline("fg")
    shell.expect_exact("up; cat'\r\n")
    lives(shell, "back")


def test_background(warm):
    """~&: the caller has his prompt and status 0; the remote reads the end of its input."""
    shell = warm.shell()
    shell.sendline("$H -t h 'stty -echo; echo up; cat; echo cat-ended'; echo status=$?")
    shell.expect_exact("up\r\n")
    shell.send("~&")
    shell.expect_exact("~& [backgrounded]\r\n")
    # A prompt, the child's last words and the status: in whatever order.
    words = ["status=0", "cat-ended", "closed."]
    while words:
        words.pop(shell.expect_exact(words))


@pytest.mark.oracle
def test_none(warm):
    """EscapeChar none: all of them are text."""
    term = session(warm, "-oEscapeChar=none")
    for typed in ("~?", "~.", "~#"):
        lives(term, typed)


@pytest.mark.oracle
def test_not_without_a_terminal(warm):
    """Neither without a remote terminal nor without a local one."""
    text = b"~.\n~?\n\n~&\n"
    assert warm.run("h", "cat", input=text).out == text
    term = warm.spawn("-T", "h", "cat")
    term.send("~?\r\x04")
    assert "Supported" not in term.read().decode()


@pytest.mark.oracle
def test_break_and_rekey_leave_the_session(warm):
    """~B and ~R are for the server; nothing here changes."""
    term = session(warm)
    term.send("~B")
    term.expect_exact("~B\r\n")
    lives(term, "one")
    term.send("~R")
    lives(term, "two")


def test_list_leaves_the_session(warm):
    """~# says what is forwarded, if anything."""
    term = session(warm)
    term.send("~#")
    term.expect_exact("~#\r\n")
    lives(term, "still")


# ---- the command line of ~C ------------------------------------------------------------------
@pytest.mark.oracle
def test_commandline_disabled(warm):
    """EnableEscapeCommandline is off by default."""
    term = session(warm)
    term.send("~C")
    term.expect_exact("commandline disabled\r\n")
    lives(term, "still")


COMMANDLINE = ["-oEnableEscapeCommandline=yes"]


def type_line(term, line):
    term.send("~C")
    term.expect_exact("ssh> ")
    term.send(f"{line}\r")
    term.expect_exact(f"{line}\r\n")


@pytest.mark.oracle
@pytest.mark.parametrize("line, words", [
    ("foo", "Invalid command."), ("-KX 1", "Invalid command."), ("!echo x", "Invalid command."),
    ("-L", "Bad local forwarding specification."),
    ("-D", "Bad local forwarding specification."),
    ("-R", "Bad remote forwarding specification."),
    ("-L 1:2", "Bad local forwarding specification."),
    ("-R 1:2:3:4:5:6", "Bad remote forwarding specification."),
    ("-KL abc", "Bad forwarding close specification."),
    ("-KL", "Bad forwarding close specification."),
    ("-h", "-KD[bind_address:]port                 Cancel dynamic forward"),
])
def test_commandline_words(warm, line, words):
    """What is not understood, and the help."""
    term = session(warm, *COMMANDLINE)
    type_line(term, line)
    term.expect_exact(words)
    lives(term, "still")


@pytest.mark.oracle
def test_commandline_runs_a_command(warm):
    """PermitLocalCommand: !command runs here, on the terminal; the help names it."""
    term = session(warm, *COMMANDLINE, "-oPermitLocalCommand=yes", env={"HW_HERE": "here"})
    type_line(term, "-h")
    term.expect_exact("!args                                  Execute local command")
    type_line(term, "!echo was run $HW_HERE >&2")
    term.expect_exact("was run here")
    lives(term, "still")
    type_line(term, "")
    lives(term, "again")


@pytest.mark.oracle
def test_commandline_edits_and_interrupt(warm):
    """The line is the terminal's, so it can be edited; ^C there takes back the line alone."""
    term = session(warm, *COMMANDLINE)
    term.send("~C")
    term.expect_exact("ssh> ")
    term.send("-Y\x7fh\r")
    term.expect_exact("Commands:")
    lives(term, "still")
    term.send("~C")
    term.expect_exact("ssh> ")
    term.send("-L 1:\x03")
    term.expect_exact("^C")
    lives(term, "again")


# ---- with words in a file --------------------------------------------------------------------
@pytest.mark.oracle
@pytest.mark.parametrize("options", [["-E"], ["-y"]])
def test_words_elsewhere(warm, options):
    """-E and -y take the log away; answers to escapes and the closed line stay on the terminal."""
    log = warm.dir / "log"
    if options == ["-E"]:
        options = ["-E", str(log)]
    term = session(warm, *options)
    term.send("~V")
    term.expect_exact("~V [Logging to syslog]\r\n")
    help_of(term)
    term.send("~.")
    assert ends(term) == 255
    assert b"Connection to 127.0.0.1 closed." in term.before
    assert read_text(log) == ""


def test_killed_session_restores_the_terminal(warm):
    """SIGTERM in the middle of a ~C line: the terminal is as it was."""
    shell = warm.shell()
    shell.sendline("stty -a >before; $H -oEnableEscapeCommandline=yes -t h 'echo up; cat'")
    shell.expect_exact("up\r\n")
    shell.send("~C")
    shell.expect_exact("ssh> ")
    [client] = children(shell.pid)
    os.kill(client, signal.SIGTERM)
    shell.expect_exact("ready> ")
    shell.sendline("stty -a >after; cmp before after && echo same-$((1+1))")
    shell.expect_exact("same-2")
