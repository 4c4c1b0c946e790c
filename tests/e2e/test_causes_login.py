"""The table of causes, first part: where no connection, or no session, comes about."""
import socket

import pexpect
import pytest

from causes import Speaker, Told, begin, judge, run
from test_auth import Agent, allow, no_terminal
from util import free_port, read_text, wait_for


def served(box, trust=True, host=None, **options):
    """A server with these sshd_config keywords, as "h" (with those of ssh_config in host)."""
    box.sshd = box.server(**options)
    if trust:
        box.trust(box.sshd)
    box.host("h", box.sshd, **(host or {}))
    box.start_daemon()
    return box


def stranger(box, **host):
    """A server that knows none of our keys."""
    box.keys.make("id_stranger")
    served(box, host=host)
    allow(box, "id_stranger")


def at(box, port, **options):
    box.host("h", type("At", (), {"port": port}), **options)
    box.start_daemon()


def no_address(box):
    at(box, 22, HostName="no-such-name.invalid")
    return run(box, "h", "true")


def refused(box):
    at(box, free_port())
    return run(box, "h", "true")


def closed_at_once(box):
    box.speaker = Speaker()
    at(box, box.speaker.port)
    return run(box, "h", "true")


def closed_again(box):
    closed_at_once(box)
    run(box, "h", "true")
    return run(box, "h", "true")


def max_startups(box):
    served(box, MaxStartups="1:100:1")
    with socket.create_connection(("127.0.0.1", box.sshd.port)) as s:
        assert s.recv(7) == b"SSH-2.0"
        return run(box, "h", "true")


def web_server(box):
    box.speaker = Speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    at(box, box.speaker.port)
    return run(box, "h", "true")


def silent_server(box):
    box.speaker = Speaker(hold=True)
    at(box, box.speaker.port, ConnectTimeout=1)
    return run(box, "h", "true")


def proxy_fails(box):
    at(box, 22, ProxyCommand="exit 3")
    return run(box, "h", "true")


def jump_refuses(box):
    served(box, AllowTcpForwarding="no")
    box.host("inner", box.sshd, ProxyJump="h")
    return run(box, "inner", "true")


def no_common(box):
    served(box, KexAlgorithms="diffie-hellman-group14-sha256",
           host={"KexAlgorithms": "curve25519-sha256"})
    return run(box, "h", "true")


def unknown_key(box):
    served(box, trust=False)
    return run(box, "h", "true")


def changed_key(box):
    served(box, trust=False)
    other = box.keys.make("host_other")
    public = " ".join(read_text(str(other) + ".pub").split()[:2])
    box.known_hosts.write_text(f"[127.0.0.1]:{box.sshd.port} {public}\n")
    return run(box, "h", "true")


def revoked_key(box):
    served(box, host={"HostKeyAlgorithms": "ssh-ed25519"})
    with open(box.known_hosts, "a") as f:
        f.write(f"@revoked [127.0.0.1]:{box.sshd.port} {box.keys.host_public()}\n")
    return run(box, "h", "true")


def other_key(box):
    stranger(box)
    return run(box, "h", "true")


def key_worked_before(box):
    served(box)
    box.keys.make("id_stranger")
    begin(box, "h")
    allow(box, "id_stranger")
    assert box.ctl("close", "h").status == 0
    return run(box, "h", "true")


def no_agent(box):
    stranger(box, IdentityFile="none")
    return run(box, "h", "true", env={"SSH_AUTH_SOCK": None})


def empty_agent(box):
    stranger(box, IdentityFile="none")
    return run(box, "h", "true", env=Agent(box).env)


def open_key_file(box):
    loose = box.dir / "loose"
    loose.write_bytes(box.keys.user.read_bytes())
    loose.chmod(0o644)
    served(box, host={"IdentityFile": loose})
    return run(box, "h", "true")


def missing_key_file(box):
    served(box, host={"IdentityFile": box.dir / "id_missing", "IdentitiesOnly": "yes"})
    return run(box, "h", "true")


def batch_mode(box):
    served(box, PasswordAuthentication="yes", PubkeyAuthentication="no",
           host={"BatchMode": "yes", "KbdInteractiveAuthentication": "no"})
    return run(box, "h", "true", **no_terminal())


def grace_time(box):
    key = box.keys.make("id_slow", passphrase="correct")
    served(box, LoginGraceTime=2, host={"IdentityFile": key, "IdentitiesOnly": "yes"})
    allow(box, "id_slow")
    ask = box.dir / "ask.sh"
    ask.write_text("#!/bin/sh\nexec sleep 77\n")
    ask.chmod(0o700)
    return run(box, "h", "true", env={"SSH_ASKPASS": ask, "SSH_ASKPASS_REQUIRE": "force",
                                      "DISPLAY": ":9"})


def too_many(box):
    names = [box.keys.make(f"id_many{i}") for i in range(3)]
    served(box, MaxAuthTries=2, host={"IdentityFile": names, "IdentitiesOnly": "yes"})
    return run(box, "h", "true")


def session_limit(box):
    served(box, MaxSessions=0)
    return run(box, "h", "true")


def no_terminal_allowed(box):
    served(box, PermitTTY="no")
    term = box.spawn("-tt", "h")
    term.expect(pexpect.EOF)
    term.wait()
    return Told(term.before.decode(), 0, 255)


def no_subsystem(box):
    served(box, Subsystem=None)
    return run(box, "-s", "h", "sftp")


def full_queue(box):
    box.daemon_conf(queue=1)
    box.speaker = Speaker(hold=True)
    at(box, box.speaker.port)
    box.popen("h", "true")
    wait_for(lambda: box.speaker.held, "the first request's connection")
    box.popen("h", "true")
    wait_for(lambda: '"queued": ' in box.ctl("list", "--json").text, "its transport in the list")
    return run(box, "h", "true")


def locked(box):
    served(box)
    box.ctl("lock")
    return run(box, "h", "true")


# cause, how, classes, words; then what does it. None for classes: not in the journal.
ROWS = [
    ("name resolution", "a name that nobody has", {"name-resolution"},
     ["no-such-name.invalid", "spelling|network"], no_address),
    ("refused", "a port where nobody listens", {"refused"}, ["127.0.0.1", "sshd runs"], refused),
    ("closed before the banner", "a server that hangs up at once", {"closed-before-banner"},
     ["127.0.0.1|to h", "MaxStartups|fail2ban"], closed_at_once),
    ("penalties, fail2ban, TCP wrappers", "the same three times in a row",
     {"refuses-this-source"}, ["127.0.0.1|to h", "MaxStartups|fail2ban"], closed_again),
    ("MaxStartups", "sshd with MaxStartups 1:100:1, and somebody who does not log in",
     {"refuses-this-source"}, ["127.0.0.1", "MaxStartups"], max_startups),
    ("not an SSH server", "a web server", {"not-ssh"}, ["127.0.0.1", "HTTP/1.1", "port"],
     web_server),
    ("login timeout", "a server that says nothing, ConnectTimeout 1",
     {"login-timeout", "connect-timeout"}, ["127.0.0.1", "within 1 s", "firewall|overloaded"],
     silent_server),
    ("proxy command", "ProxyCommand exit 3", {"proxy-command"}, ["ProxyCommand", "3"],
     proxy_fails),
    ("no common algorithm", "KexAlgorithms that differ", {"no-common-algorithm"},
     ["127.0.0.1", "diffie-hellman-group14-sha256", "curve25519-sha256",
      "key exchange method"],
     no_common),
    ("host key unknown", "an empty known_hosts, StrictHostKeyChecking yes", {"host-key-unknown"},
     ["127.0.0.1", "known_hosts|accept"], unknown_key),
    ("host key changed", "another key in known_hosts", {"host-key-changed"},
     ["127.0.0.1", "administrator|ssh-keygen -R"], changed_key),
    ("host key revoked", "@revoked in known_hosts", {"host-key-revoked"},
     ["127.0.0.1", "administrator"], revoked_key),
    ("key refused", "a key that is not in authorized_keys", {"authentication"},
     ["Permission denied", "SHA256:|id_user", "ssh-copy-id -i [^ ]+ h adds"], other_key),
    ("key refused that was accepted before", "taken out of authorized_keys", {"authentication"},
     ["Permission denied", "before", "authorized_keys"], key_worked_before),
    ("agent absent", "no key, no SSH_AUTH_SOCK", {"authentication"},
     ["no agent", "start an agent"], no_agent),
    ("agent without keys", "no key, an empty agent", {"authentication"},
     ["agent holds no keys", "add the key"], empty_agent),
    ("key file too open", "mode 0644", {"authentication"}, ["loose", "chmod 600"], open_key_file),
    ("key file missing", "IdentityFile that is not there", {"authentication"},
     ["Permission denied", "id_missing"], missing_key_file),
    ("nobody to ask", "a password is needed, BatchMode yes", {"prompt", "authentication"},
     ["Permission denied", "BatchMode"], batch_mode),
    ("login grace time", "LoginGraceTime 2, and a passphrase that nobody types",
     {"login-grace-time"}, ["127.0.0.1", "LoginGraceTime"], grace_time),
    ("too many authentication failures", "MaxAuthTries 2, three keys",
     {"too-many-authentication-failures"}, ["127.0.0.1", "IdentitiesOnly|IdentityFile"],
     too_many),
    ("session limit", "MaxSessions 0", {"session-limit"}, ["127.0.0.1", "MaxSessions"],
     session_limit),
    ("no such subsystem", "sshd without sftp", {"channel"}, ["127.0.0.1", "ubsystem|sftp"],
     no_subsystem),
    ("a limit of hawserd", "queue = 1, three requests", None, ["wait", "queue"],
     full_queue),
    ("locked", "hawserctl lock", None, ["locked", "hawserctl unlock"], locked),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[4].__name__ for row in ROWS])
def test_cause(bare, row):
    """The class, the host and the next step; nothing that is just "connection closed"."""
    bare._write_config()
    judge(bare, row[:4], row[4](bare))


def test_jump(bare):
    """A jump host that does not forward."""
    told = jump_refuses(bare)
    judge(bare, ("jump host", "AllowTcpForwarding no on it", {"jump-host"},
                 ["127.0.0.1", "AllowTcpForwarding|allow"]), told, "inner")
