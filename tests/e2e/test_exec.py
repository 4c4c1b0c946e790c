"""Commands: exit status, arguments, streams, environment. All of it is ssh's own behaviour."""
import os
import subprocess

import pytest

from util import wait_for

pytestmark = pytest.mark.oracle


@pytest.mark.core
@pytest.mark.parametrize("code", [0, 1, 2, 44, 127, 254, 255])
def test_exit_status_is_the_remote_one(warm, code):
    """hawser ends with the status of the remote command."""
    assert warm.run("h", f"exit {code}").status == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_remote_death_by_signal_is_255(warm, name):
    """A remote command that dies by a signal gives 255, as ssh does."""
    result = warm.run("h", f"kill -{name} $$")
    assert result.status == 255 and result.out == b""


def test_unknown_command_is_127(warm):
    """The remote shell's word on a missing command comes through stderr, with its status."""
    result = warm.run("h", "no-such-command-here")
    assert result.status == 127 and "not found" in result.err


def test_longer_than_a_packet(warm):
    """A command that sshd ends the connection for (ssh fails) costs nobody else theirs."""
    other = warm.popen("h", "echo on; cat", stdin=subprocess.PIPE)
    assert other.stdout.readline() == b"on\n"
    words = ["x" * 90000] * 3
    assert warm.run("h", ":", *words, env={"HAWSER_FALLBACK": None}).status == 255
    assert other.communicate(b"still there", timeout=20)[0] == b"still there"
    assert other.returncode == 0
    assert warm.ok("h", "echo", "x" * 60000, "y" * 60000) == "x" * 60000 + " " + "y" * 60000 + "\n"


def test_arguments_are_joined_with_spaces(warm):
    """Words of the command are joined by single spaces and split again by the remote shell."""
    assert warm.ok("h", "echo", "a  b", "'c  d'", "$((1+2))") == "a b c  d 3\n"


def test_empty_arguments_vanish_as_in_ssh(warm):
    """An empty word leaves a space and nothing else."""
    assert warm.ok("h", "printf", "'[%s]'", "x", "", "y") == "[x][y]"


def test_quoting_reaches_the_remote_shell_unchanged(warm):
    """Quotes, backslashes, newlines and non-ASCII bytes are not touched on the way."""
    word = "quote' \"double\" back\\slash $dollar `tick` \n newline ü"
    script = "printf %s '" + word.replace("'", "'\\''") + "'"
    assert warm.ok("h", script) == word


def test_command_of_100_kb(warm):
    """A long command line arrives whole."""
    word = "x" * 100_000
    assert warm.ok("h", f"printf %s {word} | wc -c").strip() == "100000"


def test_options_after_the_host(warm):
    """Options may follow the host, as with ssh; the first other word begins the command."""
    assert warm.ok("h", "-T", "-o", "BatchMode=yes", "echo", "-n", "x") == "x"


def test_double_dash_before_the_host(warm):
    """-- ends the options."""
    assert warm.ok("--", "h", "echo yes") == "yes\n"


def test_user_at_host_and_l(warm):
    """user@host and -l name the user."""
    name = warm.account.name
    assert warm.ok(f"{name}@h", "id -un") == name + "\n"
    assert warm.ok("-l", name, "h", "id -un") == name + "\n"


def test_wrong_option_is_a_usage_error(warm):
    """An unknown option is answered with ssh's usage and 255."""
    result = warm.run("-9", "h", "true")
    assert result.status == 255 and "usage" in result.err.lower()


def test_no_host_is_a_usage_error(warm):
    """Without a host: usage, 255."""
    result = warm.run()
    assert result.status == 255 and "usage" in result.err.lower()


# ---- streams ---------------------------------------------------------------------------------

@pytest.mark.core
def test_stdout_and_stderr_stay_apart(warm):
    """Remote stdout arrives on stdout, remote stderr on stderr, nothing else on either."""
    result = warm.run("h", "echo out; echo err >&2")
    assert (result.out, result.err) == (b"out\n", "err\n")


def test_both_into_one_pipe(warm):
    """2>&1: both streams come through one pipe."""
    result = warm.run("h", "echo out; echo err >&2", stderr=subprocess.STDOUT)
    assert sorted(result.out.split()) == [b"err", b"out"]


@pytest.mark.core
def test_stdin_half_close(warm):
    """End of input reaches the remote command, whose answer still comes back."""
    assert warm.run("h", "cat; echo done", input=b"abc").out == b"abcdone\n"


def test_stdin_empty(warm):
    """An empty pipe is end of input at once."""
    assert warm.run("h", "cat | wc -c", input=b"").text.strip() == "0"


def test_stdin_named_pipe_whose_writer_has_gone(warm):
    """Its end is seen all the same."""
    path = warm.dir / "fifo"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fifo, True)
    path.write_text("data")
    assert warm.ok("h", "cat; echo end", stdin=fifo, timeout=20) == "dataend\n"
    os.close(fifo)


def test_stdin_dev_null(warm):
    """/dev/null as input ends cat at once."""
    assert warm.run("h", "cat; echo end").out == b"end\n"


def test_n_does_not_read_stdin(warm):
    """-n: input stays unread for whoever comes next."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"kept")
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stdin:
        assert warm.run("-n", "h", "cat; echo end", stdin=stdin).out == b"end\n"
        assert stdin.read() == b"kept"


@pytest.mark.core
def test_while_read_loop_with_n(warm):
    """The classic: a shell loop over lines survives with -n, each line served."""
    script = 'printf "1\\n2\\n3\\n" | while read n; do %s -n h "echo got $n"; done' % " ".join(
        warm.command())
    done = subprocess.run(["sh", "-c", script], env=warm.env, capture_output=True, timeout=60)
    assert done.stdout == b"got 1\ngot 2\ngot 3\n"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_closed_descriptors(warm, closed):
    """A caller that has closed standard descriptors gets the right status all the same."""
    script = '%s h "exit 7" %s' % (" ".join(warm.command()), closed)
    done = subprocess.run(["sh", "-c", script], env=warm.env, timeout=60,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert done.returncode == 7


def test_closed_stdin_is_end_of_input(warm):
    """0<&-: the remote command reads end of file."""
    script = '%s h "cat; echo end" 0<&-' % " ".join(warm.command())
    done = subprocess.run(["sh", "-c", script], env=warm.env, capture_output=True, timeout=60)
    assert done.stdout == b"end\n"


def test_reader_of_stdout_goes_away(warm):
    """`hawser h yes | head -1` ends, and so does the remote command."""
    script = '%s h "yes hawser-epipe" | head -1' % " ".join(warm.command())
    done = subprocess.run(["bash", "-c", script], env=warm.env, capture_output=True, timeout=60)
    assert done.stdout == b"hawser-epipe\n"
    wait_for(lambda: not warm.sshd.remote_processes("hawser-epipe"), "end of the remote yes")


def test_reader_of_our_words_goes_away(warm):
    """What we say on stderr and nobody reads ends neither us nor the command."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    for options in (["-v"], ["-tt"]):
        result = warm.run(*options, "h", "echo out; exit 3", stderr=write_end)
        assert (result.status, result.text.strip()) == (3, "out")
    os.close(write_end)


def test_status_of_a_command_that_ignores_its_input(warm):
    """Input that nobody reads does not delay or change the end."""
    assert warm.run("h", "exit 9", input=b"x" * 3_000_000).status == 9


def test_early_close_of_stdout(warm):
    """A command that closes stdout and goes on is waited for."""
    result = warm.run("h", "exec 1>&-; sleep 0.3; echo late >&2; exit 5")
    assert (result.status, result.err) == (5, "late\n")


# ---- environment -----------------------------------------------------------------------------

def test_send_env_comes_from_this_client(warm):
    """SendEnv: each client's own environment is sent, not the first one's nor the daemon's."""
    for value in ("one", "two words", ""):
        out = warm.ok("-o", "SendEnv=HW_*", "h", 'printf "[%s]" "$HW_A"', env={"HW_A": value})
        assert out == f"[{value}]"
    assert warm.ok("-o", "SendEnv=HW_*", "h", 'printf "[%s]" "${HW_A-unset}"') == "[unset]"


def test_variables_not_named_by_send_env_stay_home(warm):
    """Nothing is sent that SendEnv does not name."""
    out = warm.ok("-o", "SendEnv=HW_A", "h", 'echo "$HW_A,${HW_B-unset}"',
                  env={"HW_A": "a", "HW_B": "b"})
    assert out == "a,unset\n"


def test_set_env(warm):
    """SetEnv sets, and two requests with different values do not mix."""
    assert warm.ok("-o", "SetEnv=HW_C=1", "h", "echo $HW_C") == "1\n"
    assert warm.ok("-o", "SetEnv=HW_C=2", "h", "echo $HW_C") == "2\n"
    assert warm.ok("h", "echo ${HW_C-unset}") == "unset\n"


def test_many_variables_at_once(warm):
    """Twenty variables arrive, whatever way they are sent."""
    env = {f"HW_V{i}": f"value {i}" for i in range(20)}
    out = warm.ok("-o", "SendEnv=HW_*", "h", "env | grep ^HW_ | sort", env=env)
    assert out.splitlines() == sorted(f"{k}={v}" for k, v in env.items())


def test_no_term_without_terminal(warm):
    """TERM is sent with a terminal only."""
    assert warm.ok("h", "echo ${TERM-unset}", env={"TERM": "vt100"}) in ("unset\n", "dumb\n")


def test_remote_command_option(warm):
    """RemoteCommand from the command line's options runs."""
    assert warm.ok("-o", "RemoteCommand=echo configured", "h") == "configured\n"


def test_remote_command_and_a_command_is_an_error(warm):
    """ssh refuses both at once."""
    result = warm.run("-o", "RemoteCommand=echo configured", "h", "echo typed")
    assert result.status == 255 and "cannot execute command-line and remote command" in \
        result.err.lower()


def test_shell_without_terminal_reads_its_commands(warm):
    """No command: a shell that reads its script from stdin."""
    result = warm.run("-T", "h", input=b"echo from-shell\nexit 3\n")
    assert result.status == 3 and b"from-shell" in result.out


def test_background_process_that_holds_stdout(warm):
    """As with ssh, the end waits for whoever holds the remote stdout."""
    out = warm.ok("h", "(sleep 0.5; echo late) & echo early")
    assert out == "early\nlate\n"


def test_version_and_config_print(warm):
    """-V and -G answer as ssh does (git and others probe with -G)."""
    allowed = {"HAWSER_FALLBACK": None}
    assert "OpenSSH" in warm.run("-V", env=allowed).err
    assert f"port {warm.sshd.port}" in warm.ok("-G", "h", env=allowed)
