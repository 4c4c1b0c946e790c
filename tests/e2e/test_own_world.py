"""Each request is its own caller's: over one daemon that was started from another environment,
directory and log level. And what goes where: words to -E and the system log, ssh's own answers."""
import os
import pwd
import subprocess

import pytest

from util import alive, read_text, wait_for


@pytest.fixture
def world(cold):
    """A daemon whose environment and directory are nobody's; two callers: a and b."""
    foreign = {"HOME": "/nowhere", "HW_WHO": "daemon", "LC_WHO": "daemon", "TERM": "dumb",
               "SSH_AUTH_SOCK": "/none", "SHELL": "/bin/false"}
    cold.start_daemon(env=cold.environment(foreign))
    for name in "ab":
        folder = cold.dir / name
        folder.mkdir()
        (folder / "who").write_text(name)
    return cold


def as_caller(box, name, *args, env=None, **popen):
    return box.run(*args, env={"HW_WHO": name, "LC_WHO": name, **(env or {})},
                   cwd=box.dir / name, **popen)


def each(box, *args, **popen):
    """stdout of the same call by both, twice: what is kept of one must not serve the other."""
    calls = [(n, as_caller(box, n, *args, **popen)) for n in "abab"]
    assert all(r.status == 0 for _, r in calls), calls
    return [(n, r.text.strip()) for n, r in calls]


def test_environment(world):
    """SendEnv sends the caller's."""
    assert all(n == out for n, out in each(world, "-oSendEnv=HW_WHO", "h", "echo $HW_WHO"))
    assert world.sshd.logins() == 1


def test_directory_and_environment_of_match_exec(world):
    """Match exec runs where the caller is, with what he has."""
    text = read_text(world.config)
    for test, kind in (("grep -qx a who", "dir"), ("test $HW_WHO = a", "env")):
        world.config.write_text(f'Match exec "{test}"\n\tSetEnv HW_IS=first\n'
                                f'Match all\n\tSetEnv HW_IS=second\n{text}')
        for name, out in each(world, "h", "echo $HW_IS"):
            assert out == {"a": "first", "b": "second"}[name], kind
    assert world.sshd.logins() == 1


def test_relative_paths(world):
    """A file name of the command line is looked for in the caller's directory."""
    for name, key in (("a", world.keys.user), ("b", "/dev/null")):
        os.symlink(key, world.dir / name / "key")
    words = ["-i", "key", "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oBatchMode=yes"]
    world.host("h", world.sshd, IdentityFile=None)
    assert as_caller(world, "a", *words, "h", "true").status == 0
    assert as_caller(world, "b", *words, "h", "true").status == 255
    assert as_caller(world, "a", *words, "h", "true").status == 0


def test_home_is_the_password_entrys(world):
    """~ and %d are not $HOME, neither the caller's nor the daemon's."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    known = os.path.relpath(world.known_hosts, os.path.realpath(home))
    for prefix in ("~", "%d"):
        world.host("h", world.sshd, UserKnownHostsFile=f"{prefix}/{known}")
        for value in ("/nowhere", None):
            assert world.run("h", "echo in", env={"HOME": value}).text == "in\n"


def test_log_level(world):
    """-v of one says nothing to the other."""
    loud = world.popen("-v", "h", "read x", stdin=subprocess.PIPE)
    assert b"hawser: " in loud.stderr.readline()
    assert world.run("h", "true").err == ""
    loud.stdin.close()
    loud.wait(20)


def test_local_command_goes_to_its_caller(world):
    """Output and environment; the shell is the caller's."""
    words = ["-oPermitLocalCommand=yes", "-oLocalCommand=echo $HW_WHO $(cat who)"]
    for name, out in each(world, *words, "h", "true"):
        assert out == f"{name} {name}"


def test_terminal_type(world):
    """TERM is the caller's."""
    term = world.spawn("-t", "h", "echo term=$TERM.", env={"TERM": "vt220"})
    term.expect_exact("term=vt220.")


# ---- held, and not held --------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["hold", "variable", "option"])
def test_hold_nothing(cold, how):
    """Calls one after the other log in each; those at the same time share."""
    words, env = [], {}
    if how == "hold":
        cold.daemon_conf(hold=0)
    elif how == "variable":
        env = {"HAWSER_HOLD": "0"}
    else:
        words = ["-o", "ControlPersist=no"]
    cold.start_daemon()
    for n in (1, 2):
        assert cold.ok(*words, "h", f"echo {n}", env=env) == f"{n}\n"
        assert cold.sshd.logins() == n
    first = cold.popen(*words, "h", "echo up; read x", env=env, stdin=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    assert cold.ok(*words, "h", "echo beside", env=env) == "beside\n"
    assert cold.sshd.logins() == 3
    first.stdin.close()
    first.wait(20)
    wait_for(lambda: not cold.sshd.workers(), "the connection's end")


def test_held_beside_not_held(warm):
    """Who wants nothing held neither uses nor ends what others hold."""
    assert warm.ok("h", "true", env={"HAWSER_HOLD": "0"}) == ""
    assert warm.sshd.logins() == 2
    assert warm.ok("h", "true") == "" and warm.sshd.logins() == 2


def test_control_path_none(warm):
    """-o ControlPath=none: a connection of one's own."""
    first = warm.popen("-oControlPath=none", "h", "echo up; read x", stdin=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    assert warm.ok("-oControlPath=none", "h", "echo two") == "two\n"
    assert warm.sshd.logins() == 3
    first.stdin.close()
    first.wait(20)
    wait_for(lambda: len([p for p in warm.sshd.workers() if alive(p)]) <= 2, "their ends")


def test_control_words_are_harmless(warm):
    """ControlMaster and the like, as Ansible sends them: the held transport, no socket."""
    cs = warm.dir / "cp"
    for value in ("auto", "yes", "no", "ask", "autoask"):
        assert warm.ok("-o", f"ControlMaster={value}", "-o", "ControlPersist=60s", "-o",
                       f'ControlPath="{cs}"', "h", "echo x") == "x\n"
    assert warm.sshd.logins() == 1 and not cs.exists()


# ---- ends ----------------------------------------------------------------------------------------
@pytest.mark.oracle
def test_channel_closed_without_a_status(bare):
    """255, and only that session: others on the connection go on."""
    bare.sshd = bare.server(ChannelTimeout="session:command=1s")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    shell = bare.popen("-T", "h", stdin=subprocess.PIPE)
    result = bare.run("h", "exec sleep 60")
    assert result.status == 255 and result.out == b""
    assert shell.communicate(b"echo still\n", timeout=20)[0] == b"still\n"


@pytest.mark.oracle
@pytest.mark.parametrize("words", [["-N"], ["-W", "127.0.0.1:{port}"]])
def test_told_to_end(warm, words):
    """-N and -W have no remote command that would hear of a signal: they end at once."""
    words = [w.format(port=warm.sshd.port) for w in words]
    proc = warm.popen("-v", *words, "h", stdin=subprocess.PIPE)
    if words[0] == "-W":
        assert proc.stdout.readline().startswith(b"SSH-2.0")
    else:
        seen = b""
        while b"using the held" not in seen and b"Entering interactive session" not in seen:
            seen = proc.stderr.readline()
    proc.send_signal(2)
    assert proc.wait(20) == 255
    assert b"ended by signal" not in proc.stderr.read()  # it was waited for in vain


# ---- where words go ------------------------------------------------------------------------------
@pytest.fixture
def banner(bare):
    """A server with a banner."""
    (bare.dir / "banner").write_text("Welcome\n\ttwó  \n")
    bare.sshd = bare.server(Banner=str(bare.dir / "banner"))
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    return bare


@pytest.mark.oracle
@pytest.mark.parametrize("how", ["-E", "-y"])
def test_words_off_stderr(banner, how):
    """Every line of logging; the banner and the command's stderr stay."""
    log = banner.dir / "log"
    words = ["-E", log] if how == "-E" else ["-y"]
    result = banner.run(*words, "-v", "h", "echo bad >&2")
    assert result.status == 0
    # Two write: hawser what it hears, hawserd what the command says. Under load either is first.
    said = result.err.replace("\r", "")
    assert said.replace("bad\n", "") == "Welcome\n\ttwó  \n" and said.count("bad\n") == 1
    assert (read_text(log) != "") == (how == "-E")
    result = banner.run(*words, "-p", "1", "h", "true")
    assert result.status == 255 and result.err == ""
    if how == "-E":
        assert "Connection refused" in read_text(log) or "refused" in read_text(log)


@pytest.mark.oracle
def test_not_both_logs(bare):
    """-y and -E exclude each other, in ssh's words."""
    result = bare.run("-y", "-E", bare.dir / "log", "h")
    assert result.status == 255 and "Can't specify both -y and -E" in result.err


@pytest.mark.oracle
@pytest.mark.parametrize("options", [["-q"], ["-oLogLevel=ERROR"]])
def test_banner_by_loglevel(banner, options):
    """None when only errors are wanted."""
    assert banner.run(*options, "h", "true").err == ""


def test_verbose_says_which_connection(box):
    """-v: why one was opened, or that the held one is used; -vv: what it is."""
    assert "no connection is held yet" in box.run("-v", "h", "true").err
    second = box.run("-v", "h", "true").err
    assert "using the held connection" in second and "held yet" not in second
    more = box.run("-vv", "h", "true").err
    for words in ("kex: algorithm:", "cipher: ", "remote software version", "authenticated as"):
        assert words in more
    assert "HAWSER_HOLD=0" in box.run("-v", "h", "true", env={"HAWSER_HOLD": "0"}).err
    assert "ControlPath=none" in box.run("-v", "-oControlPath=none", "h", "true").err


# ---- answered by ssh itself ----------------------------------------------------------------------
@pytest.mark.parametrize("words", [
    ["-V"], ["-Q", "cipher"], ["-Q", "nonsense"], ["-G", "h"], ["-G", "-p", "77", "u@h"], [],
    ["-p"], ["--nonsense"], ["-O", "nonsense", "h"], ["-o", "Nonsense=1", "-G", "h"], ["-1", "h"]])
def test_answered_by_ssh(cold, words):
    """The same bytes and status, and no daemon is started for it."""
    prefix = ["-F", str(cold.config)] if "h" in words or "u@h" in words else []
    ours, theirs = (
        subprocess.run([program, *prefix, *words], stdin=subprocess.DEVNULL, capture_output=True,
                       env=cold.environment({"HAWSER_FALLBACK": None}), timeout=60)
        for program in (cold.command()[0], "/usr/bin/ssh"))
    assert (ours.returncode, ours.stdout, ours.stderr) == \
        (theirs.returncode, theirs.stdout, theirs.stderr)
    assert not cold.socket.exists()
