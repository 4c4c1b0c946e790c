"""Logging in: keys, agent, passphrases, passwords, keyboard-interactive, and who is asked."""
import os
import re
import signal
import socket
import subprocess

import pexpect
import pytest

from agents import Agent
from util import holds_for, kill, read_text, wait_for

PASSPHRASE = "open sesame 3"
oracle = pytest.mark.oracle


@pytest.fixture
def auth(bare):
    """A server on which public keys, passwords and keyboard-interactive are possible."""
    def make(**options):
        bare.sshd = bare.server(**options)
        bare.trust(bare.sshd)
        bare.host("h", bare.sshd)
        bare.start_daemon()
        return bare
    yield make
    log = read_text(bare.daemon_log)
    assert PASSPHRASE not in log and bare.account.password not in log, "a secret is in the log"


def allow(box, *names):
    """Makes these keys the only ones that may log in."""
    box.sshd.authorized.write_text("".join(read_text(box.keys.dir / f"{n}.pub") for n in names))


def denied(result):
    return "permission denied" in result.err.lower()


def no_terminal(**env):
    """popen options of a client that has no terminal to ask on."""
    return {"start_new_session": True, "env": {"DISPLAY": None, "SSH_ASKPASS": None, **env}}


# ---- keys ------------------------------------------------------------------------------------

@oracle
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_each_kind_of_key(auth, kind):
    """Ed25519, ECDSA and RSA (with SHA-2) keys from files."""
    box = auth()
    key = box.keys.make("id_" + kind, kind)
    allow(box, "id_" + kind)
    assert box.ok("-o", f"IdentityFile={key}", "h", "echo in") == "in\n"


@oracle
def test_key_in_pem_format(auth):
    """Old PEM files work as well."""
    box = auth()
    key = box.keys.dir / "id_pem"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f",
                        str(key)], check=True)
    allow(box, "id_pem")
    assert box.ok("-i", key, "h", "echo in") == "in\n"


@oracle
def test_second_of_several_keys(auth):
    """All identity files are tried, in order."""
    box = auth()
    box.keys.make("id_second")
    allow(box, "id_second")
    box.host("h", box.sshd, IdentityFile=[str(box.keys.user), str(box.keys.dir / "id_second")])
    assert box.ok("h", "echo in") == "in\n"


@oracle
@pytest.mark.core
def test_wrong_key(auth):
    """A key that the server does not take: 255, Permission denied, what it would take."""
    box = auth()
    allow(box)
    result = box.run("h", "echo never")
    assert result.status == 255 and result.out == b""
    assert "Permission denied (publickey)." in result.err


@oracle
def test_missing_key_file(auth):
    """A key file that is not there, and no other way in."""
    box = auth()
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    result = box.run("h", "true")
    assert result.status == 255 and denied(result)


@oracle
def test_key_file_open_to_others_is_not_used(auth):
    """A private key that others can read is refused, in ssh's words."""
    box = auth()
    loose = box.dir / "loose"
    loose.write_bytes(box.keys.user.read_bytes())
    loose.chmod(0o644)
    box.host("h", box.sshd, IdentityFile=str(loose))
    result = box.run("h", "true")
    assert result.status == 255 and denied(result)
    assert "too open" in result.err.lower() or "unprotected" in result.err.lower()


# ---- the agent -------------------------------------------------------------------------------

@oracle
@pytest.mark.core
def test_agent_of_the_client(auth):
    """The key is in the agent of the client that asks; the daemon itself has no agent."""
    box = auth()
    agent = Agent(box, box.keys.user)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    assert box.ok("h", "echo in", env=agent.env) == "in\n"


@oracle
def test_identity_agent_option(auth):
    """IdentityAgent names another agent than SSH_AUTH_SOCK."""
    box = auth()
    agent = Agent(box, box.keys.user)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key", IdentityAgent=agent.socket)
    assert box.ok("h", "echo in", env={"SSH_AUTH_SOCK": "/no.such/dir"}) == "in\n"


@oracle
def test_identities_only_with_a_full_agent(auth):
    """IdentitiesOnly picks the right one of eight agent keys; MaxAuthTries would stop a search."""
    box = auth(MaxAuthTries=4)
    wrong = [box.keys.make(f"id_wrong{i}") for i in range(7)]
    agent = Agent(box, *wrong, box.keys.user)
    box.host("h", box.sshd, IdentityFile=f"{box.keys.user}.pub", IdentitiesOnly="yes")
    assert box.ok("h", "echo in", env=agent.env) == "in\n"


@oracle
def test_too_many_agent_keys(auth):
    """Too many keys: the server ends it, and the client says why."""
    box = auth(MaxAuthTries=3)
    wrong = [box.keys.make(f"id_wrong{i}") for i in range(7)]
    agent = Agent(box, *wrong)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    result = box.run("h", "true", env=agent.env)
    assert result.status == 255 and "too many authentication failures" in result.err.lower()


@oracle
def test_no_agent(auth):
    """SSH_AUTH_SOCK that leads nowhere: a refusal, not a hang."""
    box = auth()
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    result = box.run("h", "true", env={"SSH_AUTH_SOCK": str(box.dir / "no-agent")})
    assert result.status == 255 and denied(result)


def test_silent_agent_holds_up_nobody_else(auth):
    """An agent that accepts and never answers: another destination's calls go on meanwhile."""
    box = auth()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.dir / "silent"))
        listener.listen(8)
        box.host("silent", box.sshd, IdentityFile="/no.such/dir/key")
        stuck = box.popen("silent", "true", env={"SSH_AUTH_SOCK": str(box.dir / "silent")})
        listener.settimeout(30)
        connection, _ = listener.accept()
        for i in range(3):
            assert box.ok("h", f"echo {i}", timeout=10) == f"{i}\n"
        assert stuck.poll() is None
        kill(stuck.pid, signal.SIGTERM)
        assert stuck.wait(20) != 0
        connection.close()


# ---- passphrases -----------------------------------------------------------------------------

@pytest.fixture
def encrypted(auth):
    box = auth()
    key = box.keys.make("id_enc", "ed25519", PASSPHRASE)
    allow(box, "id_enc")
    box.host("h", box.sshd, IdentityFile=str(key))
    return box


@oracle
@pytest.mark.core
def test_passphrase_is_asked_on_the_terminal(encrypted):
    """The question appears on /dev/tty, the answer is not echoed, the command runs."""
    term = encrypted.spawn("h", "echo in")
    term.expect(r"Enter passphrase for key '[^']*id_enc': ?")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert PASSPHRASE.encode() not in term.before
    term.expect_exact(pexpect.EOF)


def test_passphrase_is_asked_once(encrypted):
    """After the first login no call asks again."""
    term = encrypted.spawn("h", "echo in")
    term.expect("passphrase")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert encrypted.ok("h", "echo again", **no_terminal()) == "again\n"
    assert encrypted.sshd.logins() == 1


@oracle
def test_question_while_stdin_and_stdout_are_pipes(encrypted):
    """With pipes on stdin and stdout the terminal is asked all the same, and no byte is lost."""
    shell = encrypted.shell()
    shell.sendline("printf data | $H h 'cat; echo in' | cat >out; echo end")
    shell.expect("passphrase")
    wait_for(lambda: not shell.getecho(), "echo off")
    shell.sendline(PASSPHRASE)
    shell.expect_exact("end\r\n")
    assert read_text(encrypted.dir / "out") == "datain\n"


@oracle
def test_wrong_passphrase_is_asked_again(encrypted):
    """Two wrong answers, then the right one."""
    term = encrypted.spawn("h", "echo in")
    for answer in ("wrong", "also wrong", PASSPHRASE):
        term.expect("passphrase")
        wait_for(lambda: not term.getecho(), "echo off")
        term.sendline(answer)
    term.expect_exact("in\r\n")


@oracle
def test_wrong_passphrases_end_in_a_refusal(encrypted):
    """NumberOfPasswordPrompts wrong answers: denied, 255."""
    term = encrypted.spawn("-o", "NumberOfPasswordPrompts=2", "h", "echo never")
    for _ in range(2):
        term.expect("passphrase")
        wait_for(lambda: not term.getecho(), "echo off")
        term.sendline("wrong")
    term.expect("(?i)permission denied")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


@oracle
def test_end_of_file_at_the_question(encrypted):
    """^D is an empty answer: on to the next way to log in, of which there is none."""
    term = encrypted.spawn("h", "echo never")
    term.expect("passphrase")
    wait_for(lambda: not term.getecho(), "echo off")
    term.send("\x04")
    term.expect("(?i)permission denied")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


def test_daemon_ends_at_the_question(encrypted):
    """Before the login nothing can have run, and the client knows that."""
    shell = encrypted.shell()
    shell.sendline("$H h true")
    shell.expect("passphrase")
    wait_for(lambda: not shell.getecho(), "echo off")
    encrypted.daemon.kill()
    encrypted.judge_exit = False
    shell.expect_exact("the command was not run")
    shell.expect_exact("ready> ")
    assert shell.getecho()


@oracle
def test_interrupt_at_the_question(encrypted):
    """^C at the question ends the client and restores the terminal's echo."""
    shell = encrypted.shell()
    shell.sendline("$H h true")
    shell.expect("passphrase")
    wait_for(lambda: not shell.getecho(), "echo off")
    shell.send("\x03")
    shell.expect_exact("ready> ")
    shell.sendline("stty -a | grep -c ' echo '")
    shell.expect_exact("1\r\n")


@oracle
def test_batch_mode_never_asks(encrypted):
    """BatchMode=yes: no question, a refusal at once."""
    term = encrypted.spawn("-o", "BatchMode=yes", "h", "true")
    text = term.read().decode()
    assert "Enter passphrase" not in text and "permission denied" in text.lower()


@oracle
def test_no_terminal_and_no_askpass(encrypted):
    """Nobody can be asked: a refusal with a reason, not a hang."""
    result = encrypted.run("h", "true", **no_terminal())
    assert result.status == 255 and re.search("(?i)permission denied|nobody could be asked",
                                              result.err)


def askpass(box, answer):
    """A program for SSH_ASKPASS that answers and writes down what it was asked."""
    path = box.dir / "askpass"
    path.write_text(f"#!/bin/sh\necho \"$1\" >>{box.dir}/asked\nprintf '%s\\n' '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@oracle
@pytest.mark.parametrize("how", [{"SSH_ASKPASS_REQUIRE": "force"}, {"DISPLAY": ":77"}])
def test_askpass(encrypted, how):
    """Without a terminal SSH_ASKPASS is run as ssh runs it, with the question as its argument."""
    env = dict(how, SSH_ASKPASS=askpass(encrypted, PASSPHRASE))
    result = encrypted.run("h", "echo in", start_new_session=True, env=env)
    assert result.text == "in\n", result
    assert "id_enc" in read_text(encrypted.dir / "asked")


@oracle
def test_askpass_require_never(encrypted):
    """SSH_ASKPASS_REQUIRE=never: the program is not run."""
    env = {"SSH_ASKPASS": askpass(encrypted, PASSPHRASE), "SSH_ASKPASS_REQUIRE": "never",
           "DISPLAY": ":77"}
    assert encrypted.run("h", "true", start_new_session=True, env=env).status == 255
    assert not os.path.exists(encrypted.dir / "asked")


@oracle
def test_askpass_that_fails(encrypted):
    """An askpass program that is cancelled (status 1) is a refusal."""
    path = encrypted.dir / "askpass"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    env = {"SSH_ASKPASS": str(path), "SSH_ASKPASS_REQUIRE": "force"}
    assert encrypted.run("h", "true", start_new_session=True, env=env).status == 255


# ---- one question for all --------------------------------------------------------------------

def test_one_question_serves_all_who_wait(encrypted):
    """One client has a terminal and is asked; four others that wait are served by the answer."""
    term = encrypted.spawn("h", "echo in")
    term.expect("passphrase")
    others = [encrypted.popen("h", f"echo {i}", **no_terminal()) for i in range(4)]
    holds_for(lambda: all(p.poll() is None for p in others), 0.3, "a waiting client gave up")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert [p.communicate(timeout=30)[0] for p in others] == [b"%d\n" % i for i in range(4)]
    assert encrypted.sshd.logins() == 1


def test_question_moves_on_when_its_client_is_killed(encrypted):
    """The client that is asked dies: another one with a terminal is asked, and all goes well."""
    first = encrypted.spawn("h", "echo first")
    first.expect("passphrase")
    second = encrypted.spawn("h", "echo second")
    kill(first.pid)
    second.expect("passphrase")
    wait_for(lambda: not second.getecho(), "echo off")
    second.sendline(PASSPHRASE)
    second.expect_exact("second\r\n")


# ---- passwords -------------------------------------------------------------------------------

@oracle
def test_password(auth):
    """Password login: asked with user and host, not echoed."""
    box = auth(PasswordAuthentication="yes", PubkeyAuthentication="no")
    password = box.account.set_password()
    term = box.spawn("h", "echo in")
    term.expect(rf"{box.account.name}@127\.0\.0\.1's password: ?")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(password)
    term.expect_exact("in\r\n")


@oracle
def test_wrong_passwords(auth):
    """Three wrong passwords: asked three times, then the end."""
    box = auth(PasswordAuthentication="yes", PubkeyAuthentication="no")
    box.account.set_password()
    term = box.spawn("h", "true", timeout=60)
    for _ in range(3):
        term.expect("password: ?")
        wait_for(lambda: not term.getecho(), "echo off")
        term.sendline("wrong")
    term.expect(pexpect.EOF)
    assert b"password:" not in term.before and b"denied" in term.before.lower()


@oracle
def test_preferred_authentications(auth):
    """PreferredAuthentications=password: the key would do, but the password is asked for."""
    box = auth(PasswordAuthentication="yes")
    password = box.account.set_password()
    term = box.spawn("-o", "PreferredAuthentications=password", "h", "echo in")
    term.expect("password: ?")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(password)
    term.expect_exact("in\r\n")


@oracle
@pytest.mark.core
def test_partial_success(auth):
    """AuthenticationMethods publickey,password: the key first, then the password."""
    box = auth(PasswordAuthentication="yes", AuthenticationMethods="publickey,password")
    password = box.account.set_password()
    term = box.spawn("h", "echo in")
    term.expect("password: ?")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(password)
    term.expect_exact("in\r\n")
    assert "Accepted password" in read_text(box.sshd.log)


@oracle
def test_keyboard_interactive(auth):
    """keyboard-interactive by PAM: the server's own question."""
    box = auth(UsePAM="yes", KbdInteractiveAuthentication="yes", PubkeyAuthentication="no")
    password = box.account.set_password()
    term = box.spawn("h", "echo in")
    term.expect(r"Password: ?")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(password)
    term.expect_exact("in\r\n")


@oracle
def test_keyboard_interactive_in_several_rounds(auth):
    """An expired password: current, new and repeated password are asked one after another."""
    box = auth(UsePAM="yes", KbdInteractiveAuthentication="yes", PubkeyAuthentication="no")
    password = box.account.set_password()
    subprocess.run(["chage", "-d", "0", box.account.name], check=True)
    try:
        term = box.spawn("h", "echo in", timeout=40)
        new = "another-Horse-42"
        for question, answer in ((r"Password: ?", password), (r"[Cc]urrent \w*\s*[Pp]assword: ?",
                                 password), (r"New password: ?", new), (r"[Rr]etype .*: ?", new)):
            term.expect(question)
            wait_for(lambda: not term.getecho(), "echo off")
            term.sendline(answer)
        term.expect_exact("in\r\n")
    finally:
        box.account.forget_password_state()
        subprocess.run(["chage", "-d", "-1", box.account.name], check=True)


@oracle
def test_password_by_askpass(auth):
    """A password through SSH_ASKPASS, as sshpass-like tools do."""
    box = auth(PasswordAuthentication="yes", PubkeyAuthentication="no")
    env = {"SSH_ASKPASS": askpass(box, box.account.set_password()),
           "SSH_ASKPASS_REQUIRE": "force"}
    assert box.ok("h", "echo in", start_new_session=True, env=env) == "in\n"


@oracle
def test_banner_goes_to_stderr(auth):
    """The server's banner reaches stderr as it is, and stdout stays clean."""
    box = auth()
    text = box.dir / "banner"
    text.write_text("* Authorised use only *\n* second line *\n")
    second = box.server(Banner=str(text))
    box.trust(second)
    box.host("banner", second)
    result = box.run("banner", "echo out")
    assert result.out == b"out\n" and text.read_text() in result.err.replace("\r\n", "\n")


def test_second_call_after_a_refusal_tries_again(auth):
    """A refused login is not remembered: once the key is allowed, the next call gets in."""
    box = auth()
    allow(box)
    assert box.run("h", "true").status == 255
    allow(box, "id_user")
    assert box.ok("h", "echo in") == "in\n"


def test_refusal_names_host_and_next_step(auth):
    """The sentence names user, host, address and a next step."""
    box = auth()
    allow(box)
    err = box.run("h", "true").err
    for word in (box.account.name, "h ", "127.0.0.1", str(box.sshd.port), "authorized_keys"):
        assert word in err
