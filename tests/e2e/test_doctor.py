"""hawserctl doctor: the verdict first, from real servers and what may stand in their place."""
import json
import re

import pytest

from daemon import HAWSER
from doctoring import doctor, findings, path_of, prepare, texts
from faults import FaultProxy
from netns import own_network, run


@pytest.fixture
def bench(bare):
    return prepare(bare)


@pytest.mark.core
def test_fine(bench):
    """All is well, and every part says something."""
    bench.start_daemon()
    bench.ok("h", "true")
    before = bench.sshd.sessions()
    status, verdict, parts = doctor(bench, "h")
    assert (status, verdict) == (0, "fine"), parts
    assert "SSH-2.0-OpenSSH" in texts(parts, "address")
    assert "has 1 address" in texts(parts, "name")
    assert "known, and the same" in texts(parts, "host key")
    assert str(bench.keys.user) in texts(parts, "keys")
    assert "ms in all (key exchange" in texts(parts, "login")
    assert "ready for" in texts(parts, "held")
    assert "32000 bytes come through" in texts(parts, "sizes")
    assert "curve25519" in texts(parts, "algorithms") or "sntrup" in texts(parts, "algorithms")
    assert bench.sshd.sessions() == before, "nothing is run on the server"
    text = bench.ctl("doctor", "-F", str(bench.config), "h", env=path_of(bench)).text
    assert text.startswith("h is fine")


@pytest.mark.parametrize("words", [("-q",), ("-E", "LOG"), ("-y",), ("-oLogLevel=QUIET",), ("--",),
                                   ("-4q", "--"), ("-N", "-f")])
def test_words_of_a_call(bench, words):
    """A call's own words, put behind doctor: what they silence, or send away, is heard."""
    log = bench.dir / "log"
    words = [str(log) if w == "LOG" else w for w in words]
    status, verdict, parts = doctor(bench, *words, "h")
    assert (status, verdict) == (0, "fine"), parts
    assert "ms in all (key exchange" in texts(parts, "login") and not log.exists()


def test_json_behind_the_host(bench):
    """The option is taken there, too; a command, or what prints no configuration, is not."""
    result = bench.ctl("doctor", "-F", str(bench.config), "h", "--json", env=path_of(bench))
    assert json.loads(result.text)["ok"]
    for words in ("h", "true"), ("-Z", "h"), ():
        result = bench.ctl("doctor", "-F", str(bench.config), *words, env=path_of(bench))
        assert result.err.startswith("usage: hawserctl [--json] doctor"), words
    assert doctor(bench, "-Q", "cipher", "h")[:2] == (
        1, "ssh -G fails: it prints no configuration")
    assert doctor(bench, "-V", "h")[1].startswith("ssh -G fails: OpenSSH")


@pytest.fixture
def behind(bench):
    """A server "far", and ways to it through "h"."""
    far = bench.server()
    bench.trust(far)
    bench.host("far", far)
    bench.host("jumped", far, HostName="127.0.0.1", HostKeyAlias=f"[127.0.0.1]:{far.port}",
               ProxyJump="h")
    bench.host("spelt", far, HostName="127.0.0.1", HostKeyAlias=f"[127.0.0.1]:{far.port}",
               ProxyJump=f"{bench.account.name}@h:{bench.sshd.port}")
    bench.host("piped", far, ProxyCommand=f"{HAWSER} -F {bench.config} -W [%h]:%p h")
    bench.far = far
    return bench


@pytest.mark.parametrize("name", ["jumped", "spelt", "piped"])
def test_behind_something(behind, name):
    """The server behind a jump host or a command is looked at through that."""
    status, verdict, parts = doctor(behind, name)
    assert (status, verdict) == (0, "fine"), parts
    assert re.search("through .*SSH-2.0-OpenSSH", texts(parts, "address"))
    assert "ssh would agree on" in texts(parts, "algorithms")
    behind.far.stop()
    status, verdict, parts = doctor(behind, name)
    assert status == 1 and "nothing answers" in verdict and "refused" in verdict.lower()


def test_behind_a_jump_host_that_forwards_nothing(behind):
    """Its own words stand in the verdict."""
    behind.sshd.stop()
    behind.sshd.options["AllowTcpForwarding"] = "no"
    behind.sshd.start()
    status, verdict, parts = doctor(behind, "jumped")
    assert status == 1 and "prohibited" in verdict
    assert "hawserctl doctor h" in texts(parts, "address")


def test_refused(bench):
    """Nobody listens."""
    bench.sshd.stop()
    status, verdict, parts = doctor(bench, "h")
    assert status == 1 and "Connection refused" in verdict
    assert "no sshd listens there" in texts(parts, "address")


def test_no_such_name(bench):
    """The name has no address."""
    bench.host("lost", bench.sshd, HostName="no.such.host.invalid")
    status, verdict, _ = doctor(bench, "lost")
    assert status == 1 and "no address is found" in verdict


def test_not_ssh(bench):
    """Something else answers."""
    with FaultProxy(bench.sshd.port) as proxy:
        proxy.greet(b"220 mail.example ESMTP\r\n")
        bench.host("mail", proxy)
        status, verdict, _ = doctor(bench, "mail")
    assert status == 1 and "no SSH server" in verdict and "220 mail.example" in verdict


def test_turned_away(bench):
    """Closed before the banner."""
    with FaultProxy(bench.sshd.port) as proxy:
        proxy.greet(b"")
        bench.host("away", proxy)
        status, verdict, parts = doctor(bench, "away")
    assert status == 1 and "closes it" in verdict and "MaxStartups" in texts(parts, "address")


def test_changed_host_key(bench):
    """The key is another one."""
    lines = bench.known_hosts.read_text().splitlines()
    other = bench.keys.make("other_host", "ed25519")
    key = (other.parent / "other_host.pub").read_text().split()[:2]
    bench.known_hosts.write_text(lines[0].split()[0] + " " + " ".join(key) + "\n")
    status, verdict, parts = doctor(bench, "h")
    assert status == 1 and "CHANGED" in verdict and "ssh-keygen -R" in texts(parts, "host key")


def test_key_too_open(bench):
    """A key file that others may read, and a login that fails for it."""
    key = bench.keys.make("id_open", "ed25519")
    key.chmod(0o644)
    bench.host("open", bench.sshd, IdentityFile=str(key))
    status, verdict, parts = doctor(bench, "open")
    assert status == 1 and "open to others" in verdict
    assert any(finding == "bad" for finding, *_ in parts["login"])


def test_no_common_cipher(bench):
    """Both sides' lists are told."""
    server = bench.server(Ciphers="aes256-ctr")
    bench.trust(server)
    bench.host("old", server, Ciphers="aes128-gcm@openssh.com")
    status, verdict, _ = doctor(bench, "old")
    assert status == 1 and "no common cipher" in verdict
    assert "aes256-ctr" in verdict and "aes128-gcm@openssh.com" in verdict


@pytest.mark.parametrize("what", ["changed", "revoked"])
def test_one_key_of_several(bench, what):
    """Keys that are the same do not clear one that changed, or that is revoked."""
    lines = bench.known_hosts.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "ssh-ed25519" in line)
    host, kind, key = lines[at].split()[:3]
    if what == "changed":
        other = (bench.keys.make("id_other").with_suffix(".pub")).read_text().split()[1]
        lines[at] = f"{host} {kind} {other}"
    else:
        lines.append(f"@revoked {host} {kind} {key}")
    bench.known_hosts.write_text("\n".join(lines) + "\n")
    status, verdict, _ = doctor(bench, "h")
    assert status == 1 and (what.upper() in verdict or what in verdict), verdict


def test_known_without_its_port(bench):
    """As ssh has it, that is known."""
    text = bench.known_hosts.read_text()
    bench.known_hosts.write_text(text.replace(f"[127.0.0.1]:{bench.sshd.port}", "127.0.0.1"))
    _, _, parts = doctor(bench, "h")
    assert "known, and the same" in texts(parts, "host key")


def test_words_behind_the_host(bench):
    """A command is none of doctor's; --json is."""
    done = bench.ctl("doctor", "-F", str(bench.config), "-o", "User=x", "h", "touch", "x")
    assert done.status == 2 and "usage" in done.err
    done = bench.ctl("doctor", "-F", str(bench.config), "h", "--json")
    assert '"items"' in done.text


def test_cipher_without_mac(bench):
    """Where the cipher needs no MAC, none has to be common."""
    cipher = "aes256-gcm@openssh.com"
    server = bench.server(MACs="hmac-sha2-512", Ciphers=cipher)
    bench.trust(server)
    bench.host("aead", server, MACs="hmac-sha2-256", Ciphers=cipher)
    status, verdict, parts = doctor(bench, "aead")
    assert (status, verdict) == (0, "fine"), parts
    assert cipher in texts(parts, "algorithms") and "hmac" not in texts(parts, "algorithms")


def test_large_packets_are_lost(bench):
    """A path that swallows large packets."""
    with own_network():
        bench.sshd = bench.server()
        bench.host("mtu", bench.sshd)
        bench.trust(bench.sshd)
        run("nft", "add", "table", "inet", "mtu")
        run("nft", "add chain inet mtu in { type filter hook input priority 0; }")
        run("nft", f"add rule inet mtu in tcp dport {bench.sshd.port} meta length > 1300 drop")
        status, verdict, parts = doctor(bench, "mtu")
    assert status == 1 and "larger ones do not" in texts(parts, "sizes"), (verdict, parts)
    assert "1200 bytes come through" in texts(parts, "sizes")


def test_bad_configuration(bench):
    """ssh's own words."""
    status, verdict, _ = doctor(bench, "-o", "NoSuchOption=1", "h")
    assert status == 1 and "nosuchoption" in verdict.lower()


def test_handed_over(bench):
    """A host that hawser leaves to ssh."""
    bench.host("gss", bench.sshd, PKCS11Provider="/nowhere.so")
    bench.start_daemon()
    _, _, parts = doctor(bench, "gss")
    assert "over to ssh" in texts(parts, "configuration")


def test_address_with_scope(bench):
    """A link-local address, which names its interface, is looked at as any other."""
    with own_network():
        run("ip", "addr", "add", "fe80::77/64", "dev", "lo", "nodad")
        bench.host("scope", bench.server(ListenAddress="fe80::77%lo"), HostName="fe80::77%%lo")
        _, _, parts = doctor(bench, "scope")
        assert "SSH-2.0-OpenSSH" in texts(parts, "address"), parts
        bench.host("nobody", bench.sshd, HostName="fe80::78%%lo")
        status, verdict, _ = doctor(bench, "nobody")
    assert status == 1 and "fe80::78" in verdict


def test_dead_address_hides_nothing(bench):
    """What is wrong besides an address that nobody needs is the verdict."""
    key = bench.keys.make("id_open_too", "ed25519")
    key.chmod(0o644)
    bench.host("two", bench.sshd, IdentityFile=[str(bench.keys.user), str(key)])
    fake = bench.dir / "fake"
    fake.mkdir()
    getent = fake / "getent"
    getent.write_text("#!/bin/sh\nprintf '%s STREAM x\\n' 127.0.0.2 127.0.0.1\n")
    getent.chmod(0o755)
    path = {"PATH": f"{fake}:{path_of(bench)['PATH']}"}
    status, verdict, parts = doctor(bench, "two", env=path)
    assert findings(parts, "address") == ["bad", "ok"] and findings(parts, "login") == ["ok"]
    assert status == 1 and "open to others" in verdict
    bench.host("two", bench.sshd)
    assert doctor(bench, "two", env=path)[:2] == (0, "fine")


def test_usage(bench):
    """No host."""
    assert bench.ctl("doctor").status == 2
    assert bench.ctl("doctor", "-v").status == 2
