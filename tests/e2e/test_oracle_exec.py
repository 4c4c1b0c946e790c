"""ssh as the oracle: commands, quoting, statuses, streams."""
import pytest

from oracle import case, check, params, world  # noqa: F401

BIG = 2 << 20
DIGEST = "md5sum"

QUOTING = [
    case("joined", "h", "echo", "a  b", "'c  d'", "$((1+2))"),
    case("one word", "h", "echo 'a   b'"),
    case("empty word", "h", "printf", "'[%s]'", "x", "", "y"),
    case("empty first", "h", "", "echo", "x"),
    case("only empty words", "h", "", "", stdin="echo from-stdin\n"),
    case("one empty word", "h", "", stdin="echo from-stdin; exit 3\n"),
    case("a blank", "h", " ", stdin="echo from-stdin\n"),
    case("double quotes", "h", 'echo "a \\"b\\" $HOME"'),
    case("single quotes", "h", "echo 'it'\\''s'"),
    case("backslashes", "h", "printf '%s' 'a\\b\\\\c'"),
    case("trailing backslash", "h", "echo a\\"),
    case("glob", "h", "cd /; echo /et*", "/us?"),
    case("glob in quotes", "h", "echo '/et*'"),
    case("newlines", "h", "echo one\necho two\n\necho three"),
    case("newline in a word", "h", "printf", "'%s'", "'a\nb'"),
    case("tab", "h", "printf '%s' 'a\tb'"),
    case("carriage return", "h", "printf '%s' 'a\rb' | od -c"),
    case("utf-8", "h", "printf '%s' 'zażółć gęślą' | od -An -tx1"),
    case("latin-1", "h", b"printf '%s' '\xe9\xff' | od -An -tx1"),
    case("semicolons", "h", "true;", "echo", "x", "&&", "echo", "y"),
    case("pipes", "h", "echo", "a|tr", "a", "b"),
    case("redirection", "h", "echo", "gone", ">/dev/null"),
    case("comment", "h", "echo a # b"),
    case("substitution", "h", "echo", "`echo x`", "$(echo y)"),
    case("here document", "h", "cat <<E\na $((1+1))\nE\n"),
    case("variables", "h", "x=5;", "echo", "$x", "\\$x", "'$x'"),
    case("tilde", "h", "cd ~ && pwd"),
    case("percent", "h", "echo %h %u %%"),
    case("leading dash", "h", "echo", "-n", "x"),
    case("command that looks like an option", "--", "h", "-x"),
    case("leading blanks", "h", "   echo   x"),
    case("100 kB", "h", "printf %s " + "x" * 100_000 + " | wc -c", prints="100000"),
    case("100 kB in words", "h", "echo", *["word"] * 20_000, "|", DIGEST),
    case("two long words", "h", "printf '%s%s' " + "a" * 60_000, "b" * 60_000 + " | " + DIGEST),
    case("unbalanced quote", "h", "echo 'x"),
    case("syntax error", "h", "if"),
]

STATUSES = [case(f"exit {n}", "h", f"exit {n}", status=n)
            for n in (0, 1, 2, 3, 42, 63, 64, 100, 126, 127, 128, 129, 130, 137, 143, 200, 253,
                      254, 255)] + [
    case("statuses in a loop", shell="for n in 0 7 77 177 250; do \"$@\" h \"exit $n\"; "
         "echo $?; done", prints="177"),
    case("exit 256", "h", "exit 256"), case("exit 1000", "h", "exit 1000"),
    case("false", "h", "false", status=1),
    case("not found", "h", "no-such-command", status=127),
    case("not executable", "h", "/etc/passwd", status=126),
    case("last of a pipeline", "h", "false | true", status=0),
    case("output and status", "h", "seq 3; exit 3", prints="3"),
    case("errors and status", "h", "seq 3 >&2; exit 3"),
    case("killed by TERM", "h", "kill -TERM $$", says=(), status=255),
    case("killed by KILL", "h", "kill -KILL $$", says=(), status=255),
    case("killed by SEGV", "h", "ulimit -c 0; kill -SEGV $$", says=(), status=255),
    case("killed by HUP", "h", "kill -HUP $$", says=(), status=255),
    case("killed after output", "h", "echo first; kill -9 $$", says=(), prints="first"),
    case("child killed", "h", "sh -c 'kill -9 $$'; echo $?", prints="137"),
]

STREAMS = [
    case("no input", "h", "cat | wc -c"),
    case("empty input", "h", "cat | wc -c", stdin=b""),
    case("some input", "h", "cat", stdin=b"abc"),
    case("no newline at the end", "h", "cat | od -c", stdin=b"a\nb"),
    case("binary", "h", "cat", stdin=bytes(range(256)) * 20),
    case("2 MB in", "h", DIGEST, stdin=b"0123456789abcde\n" * (BIG // 16)),
    case("2 MB out", "h", f"head -c {BIG} /dev/zero"),
    case("2 MB there and back", "h", "cat", stdin=b"fedcba987654321\n" * (BIG // 16)),
    case("2 MB of errors", "h", f"seq 300000 | head -c {BIG} >&2"),
    case("answer after end of input", "h", "cat; echo done", stdin=b"abc\n"),
    case("input not read", "h", "exit 4", stdin=b"x" * 300_000, status=4),
    case("input half read", "h", "head -c 5", stdin=b"x" * 300_000),
    case("script on stdin", "h", "sh", stdin="echo a; exit 9\n", status=9),
    case("shell without a command", "h", stdin="echo in-shell; exit 8\n", status=8),
    case("shell, end of input", "h", stdin="echo in-shell\n", prints="in-shell"),
    case("bash -s with words", "h", "bash -s -- a 'b c'", stdin='echo "$#:$2"\n'),
    case("-n", "-n", "h", "cat; echo end", stdin=b"unread"),
    case("-n leaves input", shell='"$@" -n h true; cat', stdin=b"kept", prints="kept"),
    case("StdinNull", "-oStdinNull=yes", "h", "cat; echo end", stdin=b"unread"),
    case("loop with -n", shell='while read -r n; do "$@" -n h "echo $n"; done',
         stdin=b"1\n2\n3\n", prints="3"),
    case("loop without -n", shell='while read -r n; do "$@" h "echo $n; cat"; done',
         stdin=b"1\n2\n3\n"),
    case("both streams", "h", "echo out; echo err >&2"),
    case("only errors", "h", "echo err >&2", stdin=b""),
    case("errors without newline", "h", "printf err >&2"),
    case("errors of odd bytes", "h", "printf 'a\\033[1m\\001\\377\\r\\n' >&2"),
    case("errors like ours", "h", "echo 'hawser: x' >&2; echo 'ssh: y'; echo 'z: hawser: ' >&2"),
    case("2>&1", shell='"$@" h "echo out; sleep 0.1; echo err >&2" 2>&1'),
    case("from a file", shell='"$@" h cat <in', files={"in": "line 1\nline 2\n"},
         prints="line 2"),
    case("to a file", shell='"$@" h "echo out; echo err >&2" >out 2>err; cat err out'),
    case("append to a file", shell='echo before >out; "$@" h "echo after" >>out; cat out',
         prints="before\nafter"),
    case("read and write one file", shell='"$@" h "cat; echo more" <f 1<>f; cat f',
         files={"f": "some text\n"}),
    case("file position", shell='{ read -r a; "$@" h cat; } <in', files={"in": "1\n2\n3\n"},
         prints="2\n3"),
    case("to /dev/null", shell='"$@" h "echo out; exit 3" >/dev/null', status=3),
    case("to /dev/full", shell='"$@" h "echo out" >/dev/full', says=(), out=False,
         why="ssh ends with 0 when the output cannot be written; hawser says so and fails"),
    case("head ends it", shell='"$@" h "yes | head -c 3000000" | head -1'),
    case("head ends it, status", shell='"$@" h "yes" | head -1; echo "${PIPESTATUS[0]}"',
         why="the remote shell's 141; hawser closes the channel and gives 255"),
    case("closed stdin", shell='"$@" h "cat; echo end" 0<&-'),
    case("closed stdout", shell='"$@" h "echo lost; exit 6" 1>&-', status=6),
    case("closed stderr", shell='"$@" h "echo lost >&2; echo out; exit 6" 2>&-', status=6),
    case("all closed", shell='"$@" h "exit 6" 0<&- 1>&- 2>&-', status=6),
    case("in a pipeline", shell='echo abc | "$@" h "tr a-c x-z" | "$@" h rev', prints="zyx"),
    case("background child keeps nothing", "h",
         "sleep 0.3 >/dev/null 2>&1 </dev/null & echo begun"),
    case("background child with output", "h", "(sleep 0.2; echo late) & echo early"),
    case("in the background", shell='"$@" h "echo back; exit 5" & wait $!', status=5),
]


@pytest.mark.parametrize("c", params(QUOTING))
def test_quoting(world, c):
    """What the remote shell gets to see of a command line."""
    check(world, c)


@pytest.mark.parametrize("c", params(STATUSES))
def test_statuses(world, c):
    """What the client ends with."""
    check(world, c)


@pytest.mark.parametrize("c", params(STREAMS))
def test_streams(world, c):
    """Input, output and errors, wherever they come from and go to."""
    check(world, c)
