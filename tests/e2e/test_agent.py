"""The user's agent: keys given to it (AddKeysToAgent), keys of other kinds, a touch that is waited
for, keys kept for certain destinations, and where the agent is."""
import os
import subprocess

import pexpect
import pytest

from agents import SK_DUMMY, Agent, SlowAgent
from util import holds_for, read_text, wait_for

PASSPHRASE = "open sesame 5"
oracle = pytest.mark.oracle


@pytest.fixture
def agent(bare):
    """A server, and an agent without keys."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    bare.agent = Agent(bare)
    yield bare
    assert PASSPHRASE not in read_text(bare.daemon_log), "a secret is in the log"


def allow(box, *keys):
    box.sshd.authorized.write_text("".join(read_text(f"{key}.pub") for key in keys))


def make(box, name, *words, passphrase=""):
    path = box.dir / name
    subprocess.run(["ssh-keygen", "-q", *words, "-N", passphrase, "-C", f"comment of {name}", "-f",
                    str(path)], check=True, stdin=subprocess.DEVNULL)
    allow(box, path)
    return path


# ---- AddKeysToAgent --------------------------------------------------------------------------

KINDS = {"ed25519": ["-t", "ed25519"], "ecdsa": ["-t", "ecdsa"], "ecdsa521": ["-t", "ecdsa", "-b",
         "521"], "rsa": ["-t", "rsa", "-b", "2048"], "pem": ["-t", "rsa", "-b", "2048", "-m",
         "PEM"], "pkcs8": ["-t", "ecdsa", "-b", "384", "-m", "PKCS8"]}


@oracle
@pytest.mark.core
@pytest.mark.parametrize("kind", KINDS)
def test_key_from_a_file_is_added(agent, kind):
    """AddKeysToAgent=yes: the key that got in is in the agent afterwards, and signs."""
    key = make(agent, "id", *KINDS[kind])
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="yes")
    assert agent.ok("h", "echo in", env=agent.agent.env) == "in\n"
    [line] = agent.agent.keys()
    assert agent.agent.try_sign(key)
    assert ("comment of id" if kind not in ("pem", "pkcs8") else str(key)) in line


@oracle
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "pem", "pkcs8"])
def test_decrypted_key_is_added(agent, kind):
    """A passphrase is asked for once; then the agent has the key, without a passphrase."""
    key = make(agent, "id", *KINDS[kind], passphrase=PASSPHRASE)
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="yes")
    term = agent.spawn("h", "echo in", env=agent.agent.env)
    term.expect("Enter passphrase")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert len(agent.agent.keys()) == 1 and agent.agent.try_sign(key)


def test_rsa_key_that_libssh_keeps_is_left_to_ssh(agent):
    """An RSA key in OpenSSH's encrypted format cannot be got out of libssh: ssh does it, before
    anything was asked, and the next call finds the key in the agent."""
    key = make(agent, "id", *KINDS["rsa"], passphrase=PASSPHRASE)
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="yes")
    env = {**agent.agent.env, "HAWSER_FALLBACK": None}
    term = agent.spawn("h", "echo in", env=env)
    term.expect("Enter passphrase")
    wait_for(lambda: not term.getecho(), "echo off")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert len(agent.agent.keys()) == 1
    assert agent.ok("h", "echo in", env=agent.agent.env) == "in\n"


@oracle
def test_lifetime(agent):
    """AddKeysToAgent=1: the agent forgets the key after a second."""
    key = make(agent, "id", *KINDS["ed25519"])
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="2")
    assert agent.ok("h", "echo in", env=agent.agent.env) == "in\n"
    assert len(agent.agent.keys()) == 1
    wait_for(lambda: not agent.agent.keys(), "the end of the key's life")


def script(box, name, status):
    """A program for SSH_ASKPASS that notes the question."""
    path = box.dir / name
    path.write_text(f"#!/bin/sh\necho \"$1\" >>{box.dir}/{name}.asked\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@oracle
@pytest.mark.parametrize("value", ["confirm", "confirm 5m"])
def test_confirm(agent, value):
    """confirm: the agent asks before each use of the key."""
    box = agent
    box.agent = Agent(box, env={"SSH_ASKPASS": script(box, "no", 1), "DISPLAY": ":77"})
    key = make(box, "id", *KINDS["ed25519"])
    box.host("h", box.sshd, IdentityFile=str(key), AddKeysToAgent=value)
    assert box.ok("h", "echo in", env=box.agent.env) == "in\n"
    assert len(box.agent.keys()) == 1 and not box.agent.try_sign(key)
    assert "comment of id" in read_text(box.dir / "no.asked")


@oracle
@pytest.mark.parametrize("status, added", [(0, True), (1, False)])
def test_ask(agent, status, added):
    """ask: SSH_ASKPASS decides whether the key is added; the login goes on either way."""
    key = make(agent, "id", *KINDS["ed25519"])
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="ask")
    env = {**agent.agent.env, "SSH_ASKPASS": script(agent, "asker", status), "DISPLAY": ":77",
           "SSH_ASKPASS_REQUIRE": "force"}
    assert agent.ok("h", "echo in", env=env, start_new_session=True) == "in\n"
    assert read_text(agent.dir / "asker.asked") == f"Add key {key} (comment of id) to agent?\n"
    assert bool(agent.agent.keys()) == added


@oracle
def test_ask_with_nobody_there(agent):
    """ask, without a terminal or a program: not added, and no harm done."""
    key = make(agent, "id", *KINDS["ed25519"])
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="ask")
    env = {**agent.agent.env, "SSH_ASKPASS": None, "DISPLAY": None}
    result = agent.run("h", "echo in", env=env, start_new_session=True)
    assert (result.status, result.out, result.err) == (0, b"in\n", "")
    assert agent.agent.keys() == []


def test_ask_on_the_terminal(agent):
    """hawser can also ask on the terminal; "no" is a no."""
    key = make(agent, "id", *KINDS["ed25519"])
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="ask")
    term = agent.spawn("h", "echo in", env=agent.agent.env)
    term.expect_exact(f"Add key {key} (comment of id) to agent?")
    term.sendline("no")
    term.expect_exact("in\r\n")
    assert agent.agent.keys() == []


@oracle
def test_no_agent_to_add_to(agent):
    """AddKeysToAgent without an agent, or with one that is locked: said nowhere, no harm."""
    agent.host("h", agent.sshd, AddKeysToAgent="yes")
    result = agent.run("h", "echo in", env={"SSH_AUTH_SOCK": None})
    assert (result.out, result.err) == (b"in\n", "")
    agent.host("g", agent.sshd, AddKeysToAgent="yes", HostName="127.0.0.1", Compression="yes")
    result = agent.run("g", "echo in", env={"SSH_AUTH_SOCK": f"{agent.dir}/nothing"})
    assert (result.out, result.err) == (b"in\n", "")


@oracle
def test_refused_key_is_not_added(agent):
    """A key that the server does not take stays where it is."""
    key = make(agent, "id", *KINDS["ed25519"])
    allow(agent)
    agent.host("h", agent.sshd, IdentityFile=str(key), AddKeysToAgent="yes")
    assert agent.run("h", "true", env=agent.agent.env).status == 255
    assert agent.agent.keys() == []


# ---- where the agent is ----------------------------------------------------------------------

@oracle
@pytest.mark.parametrize("how", ["path", "token", "variable", "braces", "name", "none"])
def test_identity_agent(agent, how):
    """IdentityAgent: a path, one with tokens, $NAME, ${NAME}, SSH_AUTH_SOCK, none."""
    box = agent
    box.agent.add(box.keys.user)
    os.symlink(box.agent.socket, box.dir / f"agent-of-{box.account.name}")
    value = {"path": box.agent.socket, "token": f"{box.dir}/agent-of-%r", "variable": "$MY_AGENT",
             "braces": "${MY_AGENT}", "name": "SSH_AUTH_SOCK", "none": "none"}[how]
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key", IdentityAgent=value)
    env = {"MY_AGENT": box.agent.socket,
           "SSH_AUTH_SOCK": box.agent.socket if how in ("name", "none") else "/no.such/dir"}
    result = box.run("h", "echo in", env=env)
    assert (result.status == 0) == (how != "none"), result


@oracle
@pytest.mark.parametrize("login", ["file", "agent"])
def test_forwarded_agent_lends_only_what_it_may(agent, login):
    """-A: the agent is told where it is lent to. A key that is kept for the way to this host is not
    shown there, one without constraints is."""
    box = agent
    free = box.keys.make("id_free")
    allow(box, box.keys.user, free)
    constrained(box, f"[127.0.0.1]:{box.sshd.port}")
    box.agent.add(free)
    if login == "file":
        box.host("h", box.sshd, IdentitiesOnly="yes", IdentityFile=str(box.keys.make("id_file")))
        allow(box, box.keys.dir / "id_file")
    assert len(box.agent.keys()) == 2
    listed = box.ok("-A", "h", "ssh-add -l", env=box.agent.env)
    assert box.keys.fingerprint("id_free") in listed and listed.count("\n") == 1


@oracle
def test_agent_is_not_lent_to_a_changed_host(agent):
    """StrictHostKeyChecking=no and a changed host key: logged in, but without the agent."""
    box = agent
    wrong = " ".join(read_text(f"{box.keys.make('host_other')}.pub").split()[:2])
    box.known_hosts.write_text(f"[127.0.0.1]:{box.sshd.port} {wrong}\n")
    box.agent.add(box.keys.user)
    box.host("h", box.sshd, StrictHostKeyChecking="no")
    result = box.run("-A", "h", "ssh-add -l; echo in", env=box.agent.env)
    assert result.text == "in\n"
    assert "Agent forwarding is disabled to avoid man-in-the-middle attacks." in result.err


# ---- kinds of keys ---------------------------------------------------------------------------

@oracle
@pytest.mark.parametrize("kind, algorithm", [
    ("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"),
    ("ecdsa521", "ecdsa-sha2-nistp521"), ("rsa", "rsa-sha2-512"), ("pem", "rsa-sha2-512")])
def test_each_kind_of_key_in_the_agent(bare, kind, algorithm):
    """The agent signs with the algorithm that the server wants; RSA with SHA-2 only."""
    box = bare
    box.sshd = box.server(PubkeyAcceptedAlgorithms=algorithm)
    box.trust(box.sshd)
    key = make(box, "id", *KINDS[kind])
    agent = Agent(box, key)
    key.unlink()
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    box.start_daemon()
    assert box.ok("h", "echo in", env=agent.env) == "in\n"


# ---- security keys ---------------------------------------------------------------------------

@oracle
@pytest.mark.parametrize("kind", ["ed25519-sk", "ecdsa-sk"])
def test_security_key_in_the_agent(agent, kind):
    """FIDO keys through the agent (with a software provider: no touch)."""
    if not os.path.exists(SK_DUMMY):
        pytest.skip("openssh-tests is not there")
    agent.agent = Agent(agent, options=["-P", SK_DUMMY])
    key = make(agent, "id", "-t", kind, "-w", SK_DUMMY)
    agent.agent.add("-S", SK_DUMMY, key)
    agent.host("h", agent.sshd, IdentityFile="/no.such/dir/key")
    assert agent.ok("h", "echo in", env=agent.agent.env) == "in\n"


# ---- keys kept for certain destinations -------------------------------------------------------

def constrained(box, *hosts):
    """The user's key, for these hosts of known_hosts only (ssh-add -h)."""
    words = [w for host in hosts for w in ("-h", host)]
    box.agent.add("-H", box.known_hosts, *words, box.keys.user)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")


KEX = ["curve25519-sha256", "ecdh-sha2-nistp384", "diffie-hellman-group14-sha256",
       "diffie-hellman-group-exchange-sha256"]


@oracle
@pytest.mark.core
@pytest.mark.parametrize("kex", KEX)
def test_key_for_this_destination(agent, kex):
    """ssh-add -h: the agent is told which server it signs for (session-bind@openssh.com)."""
    constrained(agent, f"[127.0.0.1]:{agent.sshd.port}")
    assert agent.ok("-o", f"KexAlgorithms={kex}", "h", "echo in", env=agent.agent.env) == "in\n"


@oracle
def test_key_for_another_destination(agent):
    """A key that is kept for another host is not signed with."""
    other = agent.server(HostKeys=["rsa"])
    agent.trust(other, ["rsa"])
    agent.host("h", agent.sshd)
    key = agent.keys.make("host_elsewhere")
    with open(agent.known_hosts, "a") as f:
        f.write("elsewhere " + " ".join(read_text(f"{key}.pub").split()[:2]) + "\n")
    constrained(agent, "elsewhere")
    result = agent.run("h", "true", env=agent.agent.env)
    assert result.status == 255 and "permission denied (publickey" in result.err.lower()
    assert agent.sshd.logins() == 0


# ---- the hint --------------------------------------------------------------------------------

HINT = "waiting for the key's confirmation (touch or PIN): "


def test_hint_while_the_agent_waits(agent):
    """An agent that is silent for half a second: said once, with the key's name; then all goes
    on as if nothing had been."""
    box = agent
    box.agent.add(box.keys.user)
    slow = SlowAgent(box, box.agent)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    client = box.popen("h", "echo in", env=slow.env)
    assert slow.asked.wait(20)
    line = client.stderr.readline().decode()
    assert line == (f"hawser: {HINT}ED25519 {box.keys.fingerprint('id_user')} (id_user)\n")
    holds_for(lambda: client.poll() is None, 0.6, "it waits")
    slow.go.set()
    out, err = client.communicate(timeout=30)
    assert (out, err, client.returncode) == (b"in\n", b"", 0)
    slow.close()


@pytest.mark.parametrize("words, wait", [(["-q"], 0.8), ([], 0)])
def test_no_hint(agent, words, wait):
    """Nothing is said with -q, and nothing when the agent signs at once."""
    box = agent
    box.agent.add(box.keys.user)
    slow = SlowAgent(box, box.agent)
    box.host("h", box.sshd, IdentityFile="/no.such/dir/key")
    client = box.popen(*words, "h", "echo in", env=slow.env)
    if wait:
        assert slow.asked.wait(20)
        holds_for(lambda: client.poll() is None, wait, "it waits")
    slow.go.set()
    out, err = client.communicate(timeout=30)
    assert (out, err) == (b"in\n", b"")
    slow.close()
