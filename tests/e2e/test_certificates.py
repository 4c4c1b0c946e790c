"""User certificates: from CertificateFile, beside an identity file, from the agent; with a real CA
that the server trusts (TrustedUserCAKeys)."""
import re
import subprocess

import pytest

from agents import Agent
from util import read_text

oracle = pytest.mark.oracle
PASSPHRASE = "open sesame 4"


@pytest.fixture
def ca(bare):
    """A server that lets in who has a certificate of the CA, and no plain key."""
    bare.ca = bare.keys.make("user_ca")
    bare.sshd = bare.server(TrustedUserCAKeys=f"{bare.ca}.pub", MaxAuthTries=20)
    bare.sshd.authorized.write_text("")
    bare.trust(bare.sshd)
    bare.start_daemon()
    return bare


def private(box, name, kind="ed25519", passphrase=""):
    """A key pair of this test's own folder."""
    path = box.dir / name
    size = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", name, "-f",
                    str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def certify(box, key, *words, authority=None):
    """KEY-cert.pub for the account, signed by the CA."""
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority or box.ca), "-I", key.name, "-n",
                    box.account.name, *words, f"{key}.pub"], check=True)
    return key.with_name(key.name + "-cert.pub")


def moved(cert, name):
    """The certificate under another name, where no identity file leads to it."""
    return cert.rename(cert.with_name(name))


def offered(box):
    """The keys that the server was shown, in order: "ED25519", "ED25519-CERT"."""
    lines = re.findall(r"^(?:Failed|Accepted|Postponed) publickey for \S+ from .* ssh2: (\S+)",
                       read_text(box.sshd.log), re.M)
    return lines


@oracle
@pytest.mark.core
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificate_beside_the_key(ca, kind):
    """IDENTITY-cert.pub is found by itself, for each kind of key."""
    key = private(ca, "id", kind)
    certify(ca, key)
    ca.host("h", ca.sshd, IdentityFile=str(key))
    assert ca.ok("h", "echo in") == "in\n"
    assert "-CERT" in offered(ca)[-1]


@oracle
@pytest.mark.core
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificate_file_with_an_identity_file(ca, kind):
    """CertificateFile somewhere else, the private key in an identity file."""
    key = private(ca, "id", kind)
    cert = moved(certify(ca, key), "elsewhere.pub")
    ca.host("h", ca.sshd, IdentityFile=str(key), CertificateFile=str(cert))
    assert ca.ok("h", "echo in") == "in\n"


@oracle
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificate_file_with_a_key_of_the_agent(ca, kind):
    """CertificateFile, the private key in the agent only (which has no certificate)."""
    key = private(ca, "id", kind)
    cert = moved(certify(ca, key), "elsewhere.pub")
    agent = Agent(ca, key)
    key.unlink()
    ca.host("h", ca.sshd, IdentityFile="/no.such/dir/key", CertificateFile=str(cert))
    assert ca.ok("h", "echo in", env=agent.env) == "in\n"


@oracle
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_certificate_of_the_agent(ca, kind):
    """ssh-add has taken key and certificate: nothing is configured."""
    key = private(ca, "id", kind)
    certify(ca, key)
    agent = Agent(ca, key)
    ca.host("h", ca.sshd, IdentityFile="/no.such/dir/key")
    assert len(agent.keys()) == 2
    assert ca.ok("h", "echo in", env=agent.env) == "in\n"


@oracle
def test_identities_only_and_certificates_of_the_agent(ca):
    """IdentitiesOnly: the agent's certificate is offered where a file says so, else not."""
    key = private(ca, "id")
    cert = certify(ca, key)
    agent = Agent(ca, key)
    key.unlink()
    ca.host("h", ca.sshd, IdentityFile=str(key), IdentitiesOnly="yes")
    assert ca.ok("h", "echo in", env=agent.env) == "in\n"
    cert.unlink()
    ca.host("g", ca.sshd, IdentityFile=str(key), IdentitiesOnly="yes", HostName="localhost",
            HostKeyAlias="127.0.0.1", StrictHostKeyChecking="no", UserKnownHostsFile="/dev/null")
    assert ca.run("g", "true", env=agent.env).status == 255


@oracle
def test_identities_only_and_a_plain_key_for_certificate_file(ca):
    """IdentitiesOnly also keeps a key of the agent from signing for CertificateFile."""
    key = private(ca, "id")
    cert = moved(certify(ca, key), "elsewhere.pub")
    agent = Agent(ca, key)
    pub = key.with_name("id.pub").rename(key.with_name("named.pub"))
    key.unlink()
    ca.host("h", ca.sshd, IdentityFile="/no.such/dir/key", CertificateFile=str(cert),
            IdentitiesOnly="yes")
    assert ca.run("h", "true", env=agent.env).status == 255
    ca.host("g", ca.sshd, IdentityFile=str(pub), CertificateFile=str(cert), IdentitiesOnly="yes")
    assert ca.ok("g", "echo in", env=agent.env) == "in\n"


@oracle
def test_encrypted_key_with_a_certificate(ca):
    """The passphrase is asked for once, when the server wants the certificate."""
    key = private(ca, "id", passphrase=PASSPHRASE)
    certify(ca, key)
    ca.host("h", ca.sshd, IdentityFile=str(key))
    term = ca.spawn("h", "echo in")
    term.expect(r"Enter passphrase for key '[^']*id': ?")
    term.sendline(PASSPHRASE)
    term.expect_exact("in\r\n")
    assert b"passphrase" not in term.before


@oracle
@pytest.mark.parametrize("words", [["-V", "20200101:20200102"],
                                   ["-O", "force-command=echo forced"]])
def test_what_the_certificate_says_counts(ca, words):
    """One that has expired lets nobody in; a forced command is run."""
    key = private(ca, "id")
    certify(ca, key, *words)
    ca.host("h", ca.sshd, IdentityFile=str(key))
    result = ca.run("h", "echo in")
    if words[0] == "-V":
        assert result.status == 255 and "permission denied" in result.err.lower()
    else:
        assert result.text == "forced\n"


@oracle
def test_certificate_of_another_authority(ca):
    """A certificate that the server does not trust, then one that it does."""
    key = private(ca, "id")
    wrong = moved(certify(ca, key, authority=ca.keys.make("wrong_ca")), "wrong.pub")
    right = moved(certify(ca, key), "right.pub")
    ca.host("h", ca.sshd, IdentityFile=str(key), CertificateFile=[str(wrong), str(right)])
    assert ca.ok("h", "echo in") == "in\n"


def order(box, program, **popen):
    """What the program offers, by the server's log: fingerprint of the blob and its type."""
    log = box.sshd.log
    seen = len(read_text(log))
    subprocess.run([program, "-F", str(box.config), "h", "true"], stdin=subprocess.DEVNULL,
                   capture_output=True, timeout=60, **popen)
    return re.findall(r"^Failed publickey for \S+ from .* ssh2: (\S+ \S+(?: ID \S+)?)",
                      read_text(log)[seen:], re.M)


@pytest.mark.parametrize("only", ["yes", "no"])
@pytest.mark.parametrize("explicit", [True, False])
def test_the_same_order_as_ssh(ca, only, explicit):
    """Two identity files with certificates, one of them in the agent, a stranger in the agent,
    and CertificateFile or not: what the server sees is what it sees from ssh."""
    box = ca
    one, two, stranger = (private(box, name) for name in ("one", "two", "stranger"))
    box.ca = box.keys.make("wrong_ca")
    for key in (one, two, stranger):
        certify(box, key)
    agent = Agent(box, stranger, two)
    extra = str(certify(box, one).rename(box.dir / "extra.pub")) if explicit else None
    box.host("h", box.sshd, IdentityFile=[str(one), str(two)], IdentitiesOnly=only,
             CertificateFile=[extra, f"{two}-cert.pub"] if explicit else None)
    env = box.environment(agent.env)
    from daemon import HAWSER
    theirs, ours = order(box, "/usr/bin/ssh", env=env), order(box, HAWSER, env=env)
    assert theirs and ours == theirs
