"""ssh as the oracle: on a terminal. What is shown there must be the same, byte for byte, but for
the name in "Connection to NAME closed."."""
import dataclasses
import signal

import pytest

from oracle import case, check, params, world  # noqa: F401
from util import kill

PLAIN = [
    case("-t tty", "-t", "h", "test -t 0 && test -t 1 && test -t 2 && echo yes", prints="yes"),
    case("no -t", "h", "tty"),
    case("-T", "-T", "h", "tty"), case("-t -T", "-t", "-T", "h", "tty"),
    case("-T -t", "-T", "-t", "h", "test -t 0; echo $?"), case("-tt", "-tt", "h", "echo x"),
    case("RequestTTY=yes", "-oRequestTTY=yes", "h", "echo x"),
    case("RequestTTY=force", "-oRequestTTY=force", "h", "echo x"),
    case("RequestTTY=no", "-oRequestTTY=no", "h", "tty"),
    case("RequestTTY=auto", "-oRequestTTY=auto", "h", "tty"),
    case("-t over RequestTTY=no", "-t", "-oRequestTTY=no", "h", "tty", out=False),
    case("RequestTTY=no before -t", "-oRequestTTY=no", "-t", "h", "tty", out=False),
    case("RemoteCommand on a terminal", "-oRemoteCommand=echo x", "h"),
    case("RemoteCommand with -t", "-t", "rc", prints="remote-command"),
    case("status", "-t", "h", "exit 7", status=7),
    case("status 255", "-t", "h", "exit 255", status=255),
    case("death by a signal", "-t", "h", "kill -TERM $$", status=255, out=False),
    case("size", "-t", "h", "stty size", prints="24 80"),
    case("TERM", "-t", "h", "echo $TERM", env={"TERM": "vt220"}, prints="vt220"),
    case("TERM empty", "-t", "h", "echo $TERM.", env={"TERM": ""}),
    case("TERM unset", "-t", "h", "echo ${TERM-unset}.", env={"TERM": None}),
    case("SSH_TTY", "-t", "h", 'test "$SSH_TTY" = "$(tty)" && echo same', prints="same"),
    case("-q", "-q", "-t", "h", "echo x"),
    case("LogLevel=ERROR", "-oLogLevel=ERROR", "-t", "h", "echo x"),
    case("errors are on the terminal", "-t", "h", "echo err >&2"),
    case("errors without a terminal", "h", "echo err >&2; sleep 0.1; echo out"),
    case("long output", "-t", "h", "seq 20000", prints="20000"),
    case("odd bytes", "-t", "h", "printf '\\001\\002\\033[1mx\\377\\n'"),
    case("-n", "-n", "-t", "h", "cat; echo end"),
    case("-tt -n", "-n", "-tt", "h", "echo end"),
    case("subsystem", "-s", "h", "hello"),
    case("subsystem with -t", "-t", "-s", "h", "hello"),
    case("stdout is a file", shell='"$@" -t h "echo x" >out; cat out', prints="x"),
    case("stdin is a file", shell='"$@" -t h "cat; tty" <in', files={"in": "text\n"}),
    case("stdin is a file, -tt", shell='"$@" -tt h "stty -echo; echo got:\\$(head -1)" <in',
         files={"in": "text\n"}, out=False),
    case("stderr is a file", shell='"$@" -t h "echo x >&2" 2>err; echo "err:"; cat err'),
    case("refused", "-p", "@refused@", "h", out=False, says=("Connection refused",), status=255),
    case("modes restored", shell='stty -a >before; "$@" -t h "stty raw -echo; echo x"; '
         'stty -a | cmp - before && echo restored', prints="restored"),
    case("modes restored after an error", shell='stty -a >before; "$@" -tt -p @refused@ h x '
         '2>err; stty -a | cmp - before && echo restored', prints="restored"),
    case("two after each other", shell='"$@" -t h "echo one"; "$@" -t h "echo two"'),
    case("escapes off", "-e", "none", "-t", "h", "echo x"),
]

# The remote program says when it is ready; only then is anything typed.
GO = "echo go; "
TYPED = [
    case("a line", "-t", "h", GO + "read x; echo got:$x", script=(("go\r\n", "text\r"),)),
    case("erased text", "-t", "h", "stty erase ^H; " + GO + "read x; echo got:$x",
         script=(("go\r\n", "texxt\b\b\bxt\r"),)),
    case("end of input", "-t", "h", GO + "cat; echo after",
         script=(("go\r\n", "a\r"), ("a\r\n.*a\r\n", "\x04"))),
    case("interrupt", "-t", "h", GO + "exec sleep 100", status=255, out=False,
         script=(("go\r\n", "\x03"),)),
    case("interrupt that is caught", "-t", "h",
         "trap 'echo caught; exit 5' INT; " + GO + "while :; do sleep 0.02; done", status=5,
         script=(("go\r\n", "\x03"),)),
    case("quit", "-t", "h", "trap 'echo quit; exit 5' QUIT; " + GO +
         "while :; do sleep 0.02; done", status=5, out=False, script=(("go\r\n", "\x1c"),)),
    case("control bytes", "-t", "h", "stty raw -echo; " + GO +
         "head -c 6 | od -An -tx1; stty sane",
         script=(("go", "\x03\x1a\x1c\x04\x11\x13"),)),
    case("^Z in a shell", "-t", "h", "stty -isig; " + GO +
         "read x; printf %s \"$x\" | od -An -tx1",
         script=(("go\r\n", "\x1a\r"),)),
    case("8 bits", "-t", "h", "stty -echo; " + GO +
         "read x; printf %s \"$x\" | od -An -tx1",
         script=(("go\r\n", b"za\xc5\xbc\xff\r"),)),
    case("resize", "-t", "h", "trap 'stty size; exit 4' WINCH; " + GO +
         "while :; do sleep 0.02; done", status=4, prints="31 99",
         script=(("go\r\n", lambda t: t.setwinsize(31, 99)),)),
    case("~.", "-t", "h", "stty -echo; " + GO + "exec sleep 100", status=255,
         script=(("go\r\n", "\r~."),)),
    case("~~", "-t", "h", "stty -echo; " + GO + "read x; read x; echo got:$x",
         script=(("go\r\n", "\r~~x\r"),)),
    case("~ and another", "-t", "h", "stty -echo; " + GO + "read x; read x; echo got:$x",
         script=(("go\r\n", "\r~x\r"),)),
    case("~ in the middle", "-t", "h", "stty -echo; " + GO + "read x; echo got:$x",
         script=(("go\r\n", "a~.\r"),)),
    case("-e ^x", "-e", "^x", "-t", "h", "stty -echo; " + GO + "exec sleep 100", status=255,
         script=(("go\r\n", "\r\x18."),)),
    case("-e %", "-e", "%", "-t", "h", "stty -echo; " + GO + "read x; read x; echo got:$x",
         script=(("go\r\n", "\r~.%%\r"),)),
    case("-e none", "-e", "none", "-t", "h", "stty -echo; " + GO + "read x; read x; echo got:$x",
         script=(("go\r\n", "\r~.\r"),)),
    case("EscapeChar=none", "-oEscapeChar=none", "-t", "h",
         "stty -echo; " + GO + "read x; read x; echo got:$x", script=(("go\r\n", "\r~.\r"),)),
    case("no escapes without a terminal", "h", GO + "read x; read x; echo got:$x",
         script=(("go\r\n", "\r~.\r"),)),
    case("~?", "-t", "h", "stty -echo; " + GO + "read x; read x; echo got:$x", native="later",
         out=False, says=("Supported escape sequences:", r" ~\. ", "got:"),
         script=(("go\r\n", "\r~?"), (r"(?s)Supported.*newline\.\)\r\n", "\r\r"))),
    case("login shell", "h", says=("x=3",), status=9, out=False,
         script=(("[$#] ", "echo x=$((1+2)); exit 9\r"),)),
    case("TERM signal", "-t", "h", GO + "exec sleep 100", out=False, status=255,
         script=(("go\r\n", lambda t: kill(t.pid, signal.SIGTERM)),)),
    case("HUP signal", "-t", "h", GO + "exec sleep 100", out=False, status=255,
         script=(("go\r\n", lambda t: kill(t.pid, signal.SIGHUP)),)),
    case("interrupt without a remote terminal", "h", GO + "exec sleep 100", out=False,
         script=(("go\r\n", "\x03"),)),
    case("quit without a remote terminal", "h", GO + "exec sleep 100", out=False,
         script=(("go\r\n", lambda t: kill(t.pid, signal.SIGQUIT)),)),
    case("input without a remote terminal", "h", GO + "cat",
         script=(("go\r\n", "typed\r"), ("typed\r\ntyped\r\n", "\x04"))),
    case("tab and newline", "-t", "h", "stty -echo -icrnl; " + GO +
         "head -c 4 | od -c; stty sane",
         script=(("go\r\n", "a\t\r\n"),)),
]

FORCED = [
    case("-tt tty", "-tt", "h", "test -t 0 && test -t 1 && echo yes", prints="yes"),
    case("-tt size", "-tt", "h", "stty size"),
    case("-tt TERM", "-tt", "h", "echo $TERM"),
    case("-tt status", "-tt", "h", "exit 6", status=6),
    case("-tt errors", "-tt", "h", "echo err >&2"),
    case("-t -t", "-t", "-t", "h", "echo x"),
    case("RequestTTY=force without a terminal", "-oRequestTTY=force", "h", "echo x"),
    case("-tt -q", "-q", "-tt", "h", "echo x"),
    case("-t -q", "-qt", "h", "tty"),
    case("shell without a terminal", "h", stdin=b"tty; exit 3\n", status=3),
    case("shell with -t", "-t", "h", stdin=b"tty; exit 3\n", status=3),
    case("-tt -n without a terminal", "-n", "-tt", "h", "echo x"),
]


@pytest.mark.parametrize("c", params([dataclasses.replace(c, script=()) for c in PLAIN]))
def test_on_a_terminal(world, c):
    """Nothing is typed."""
    check(world, c)


@pytest.mark.parametrize("c", params(TYPED))
def test_typed(world, c):
    """Keys, resizes and signals, each once the remote program is ready."""
    check(world, c)


@pytest.mark.parametrize("c", params(FORCED))
def test_without_a_terminal(world, c):
    """-t and -tt where there is none."""
    check(world, c)
