"""What the user reads where no connection comes about: the likely cause, and the next step."""
import socket
import subprocess

import pexpect
import pytest

from test_auth import Agent, allow, no_terminal
from test_ends import begun


@pytest.fixture
def keys_only(bare):
    """A server that takes keys only, and none of ours."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.keys.make("id_stranger")
    allow(bare, "id_stranger")
    bare.host("h", bare.sshd)
    bare.start_daemon()
    return bare


def told(box, *args, **popen):
    """The two lines of a request that fails."""
    result = box.run(*(args or ("h", "true")), **popen)
    assert result.status == 255 and result.out == b"", result
    lines = [line.removeprefix("hawser: ") for line in result.err.splitlines()
             if line.startswith("hawser: ")]
    assert len(lines) >= 2, result
    return lines[-2], lines[-1]


# ---- authentication --------------------------------------------------------------------------

def test_keys_that_the_account_does_not_have(keys_only):
    """Refused, and which key it was; the next step adds that one."""
    text, hint = told(keys_only)
    assert "Permission denied (publickey)" in text and str(keys_only.keys.user) in text
    assert "ssh-copy-id" in hint and str(keys_only.keys.user) in hint


def test_key_that_was_accepted_before(keys_only):
    """The account is right, then: its authorized_keys changed."""
    box = keys_only
    allow(box, "id_user")
    begun(box)
    allow(box, "id_stranger")
    assert box.ctl("close", "h").status == 0
    text, hint = told(box)
    assert "Permission denied (publickey)" in text
    assert "before" in hint and "authorized_keys" in hint


def test_no_key_and_no_agent(keys_only):
    """Nothing was offered: no word of authorized_keys."""
    keys_only.host("h", keys_only.sshd, IdentityFile="none")
    text, hint = told(keys_only, env={"SSH_AUTH_SOCK": None})
    assert "no agent" in text
    assert "no key could be offered: start an agent" in hint


def test_agent_without_keys(keys_only):
    """An agent is there and holds nothing."""
    keys_only.host("h", keys_only.sshd, IdentityFile="none")
    text, hint = told(keys_only, env=Agent(keys_only).env)
    assert "the agent holds no keys" in text
    assert "no key could be offered: add the key to the agent" in hint


def test_key_that_others_can_read(keys_only):
    """The file's mode is the cause."""
    loose = keys_only.dir / "loose"
    loose.write_bytes(keys_only.keys.user.read_bytes())
    loose.chmod(0o644)
    keys_only.host("h", keys_only.sshd, IdentityFile=loose)
    text, hint = told(keys_only)
    assert str(loose) in text and hint.endswith(f"chmod 600 {loose}")


def test_question_in_batch_mode(bare):
    """A password would do, and may not be asked for."""
    bare.sshd = bare.server(PasswordAuthentication="yes", PubkeyAuthentication="no")
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd, BatchMode="yes", KbdInteractiveAuthentication="no")
    bare.start_daemon()
    text, hint = told(bare, **no_terminal())
    assert "Permission denied (password)" in text and "batch mode" in text
    assert "BatchMode" in hint


# ---- reaching it -----------------------------------------------------------------------------

def test_addresses_that_fail_in_different_ways(bare):
    """Each address with what became of it; the one that tells most decides."""
    bare._write_config()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    bare.start_daemon()
    text, hint = told(bare, "-oUserKnownHostsFile=/dev/null", f"-p{port}", "localhost", "true")
    assert "Connection refused" in text and "127.0.0.1" in text
    assert "sshd runs" in hint


def test_name_that_is_not_known(bare):
    """ssh's words, and a next step."""
    bare._write_config()
    bare.start_daemon()
    text, hint = told(bare, "no-such-name.invalid", "true")
    assert text.startswith("Could not resolve hostname no-such-name.invalid: ")
    assert "spelling" in hint or "network" in hint


# ---- before the login ------------------------------------------------------------------------

def test_no_common_host_key_type(bare):
    """What each side has, in ssh's words, and the setting."""
    sshd = bare.server(HostKeyAlgorithms="rsa-sha2-512")
    bare.trust(sshd)
    bare.host("h", sshd, HostKeyAlgorithms="ssh-ed25519")
    bare.start_daemon()
    result = bare.run("h", "true")
    assert result.status == 255
    assert "no matching host key type found. Their offer: rsa-sha2-512. Ours: ssh-ed25519" \
        in result.err, result


def test_turned_away_again_and_again(bare):
    """Once may be chance; the third time in a row it is this address that is not wanted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bare.hosts["h"] = {"HostName": "127.0.0.1", "Port": listener.getsockname()[1]}
        bare._write_config()
        bare.start_daemon()
        texts = []
        for _ in range(3):
            client = bare.popen("h", "true", stderr=subprocess.PIPE)
            listener.accept()[0].close()
            texts.append(client.communicate(timeout=20)[1].decode())
    assert "closed before the server said anything" in texts[0]
    assert "closed before the server said anything" in texts[1]
    assert "takes no logins from this address" in texts[2]
    assert "MaxStartups" in texts[2] and "fail2ban" in texts[2]


def test_max_startups(bare):
    """sshd says so in the place of its banner."""
    sshd = bare.server(MaxStartups="1:100:1", LoginGraceTime=60)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    with socket.create_connection(("127.0.0.1", sshd.port)) as first:
        assert first.recv(4) == b"SSH-"
        text, hint = told(bare)
    assert "takes no more logins" in text and "Exceeded MaxStartups" in text
    assert "MaxStartups" in hint


def test_login_grace_time(bare):
    """A question that nobody answered while the server waited."""
    sshd = bare.server(LoginGraceTime=2)
    bare.trust(sshd)
    key = bare.keys.make("id_slow", passphrase="correct")
    sshd.authorized.write_text((bare.keys.dir / "id_slow.pub").read_text())
    bare.host("h", sshd, IdentityFile=key, IdentitiesOnly="yes")
    bare.start_daemon()
    ask = bare.dir / "ask.sh"
    ask.write_text("#!/bin/sh\nexec sleep 77\n")
    ask.chmod(0o700)
    text, hint = told(bare, env={"SSH_ASKPASS": ask, "SSH_ASKPASS_REQUIRE": "force",
                                 "DISPLAY": ":9"})
    assert "login grace time" in text and "LoginGraceTime" in hint


# ---- sessions --------------------------------------------------------------------------------

def test_channel_timeout(bare):
    """A session that sshd closes after a time of quiet."""
    sshd = bare.server(ChannelTimeout="session:*=2")
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    result = bare.run("h", "echo begun; sleep 77")
    assert result.status == 255 and result.out == b"begun\n"
    assert "without an exit status" in result.err and "ChannelTimeout" in result.err


@pytest.mark.parametrize("forced,status,told_so", [
    ("/bin/false", 1, True), ("/bin/true", 0, False),
    # What is typed before it ends was an answer to it.
    ("read line; exit 3", 3, False)])
def test_shell_that_ends_at_once(bare, forced, status, told_so):
    """A forced command in the place of the shell: its status, and a word about it."""
    sshd = bare.server(ForceCommand=forced)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    term = bare.spawn("-tt", "h")
    if "read" in forced:
        term.sendline("x")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == status
    assert (b"the shell ended at once" in term.before) == told_so, term.before


def test_command_that_fails_at_once(warm):
    """Commands fail as they like."""
    result = warm.run("h", "exit 3")
    assert result.status == 3 and result.err == ""


def test_server_without_sessions(bare):
    """MaxSessions 0: no waiting helps."""
    sshd = bare.server(MaxSessions=0)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    text, hint = told(bare)
    assert "allows no session at all: open failed" in text and "MaxSessions 0" in hint
