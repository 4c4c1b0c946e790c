"""Kerberos tickets (GSSAPI): with a KDC of our own on the loopback device. hawser leaves them to
ssh, when no key gets in and before anybody is asked."""
import os
import shutil
import subprocess

import pytest

from util import die_with_parent, free_port, read_text, wait_for

oracle = pytest.mark.oracle
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


@pytest.fixture
def realm(bare):
    """A server that takes tickets of the realm TEST, and one for the account in the client's
    environment; no key gets in."""
    if shutil.which("krb5kdc", path=PATH) is None or shutil.which("kinit", path=PATH) is None:
        pytest.skip("krb5-kdc and krb5-user are not installed")
    box, port = bare, free_port()
    folder = box.dir / "krb"
    folder.mkdir()
    (folder / "krb5.conf").write_text(
        "[libdefaults]\n default_realm = TEST\n dns_lookup_kdc = false\n rdns = false\n"
        " dns_lookup_realm = false\n dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
        f"[realms]\n TEST = {{\n  kdc = 127.0.0.1:{port}\n }}\n")
    (folder / "kdc.conf").write_text(
        f"[realms]\n TEST = {{\n  database_name = {folder}/db\n  key_stash_file = {folder}/stash\n"
        f"  kdc_listen = 127.0.0.1:{port}\n  kdc_tcp_listen = 127.0.0.1:{port}\n }}\n")
    box.krb = {"KRB5_CONFIG": str(folder / "krb5.conf"), "PATH": PATH,
               "KRB5_KDC_PROFILE": str(folder / "kdc.conf"), "KRB5CCNAME": f"FILE:{folder}/cc",
               "KRB5_KTNAME": f"FILE:{folder}/keytab"}

    def call(*words, text=""):
        subprocess.run(words, input=text, text=True, check=True, env=box.krb, capture_output=True)

    call("kdb5_util", "create", "-s", "-r", "TEST", "-P", "master")
    call("kadmin.local", "-r", "TEST", "-q", f"addprinc -pw secret {box.account.name}")
    call("kadmin.local", "-r", "TEST", "-q", "addprinc -randkey host/127.0.0.1")
    call("kadmin.local", "-r", "TEST", "-q", f"ktadd -k {folder}/keytab host/127.0.0.1")
    with open(folder / "kdc.log", "wb") as log:
        box.clients.append(subprocess.Popen(["krb5kdc", "-n", "-r", "TEST"], env=box.krb,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            preexec_fn=die_with_parent))
    wait_for(lambda: subprocess.run(["kinit", box.account.name], input="secret\n", text=True,
                                    env=box.krb, capture_output=True).returncode == 0, "a ticket")
    box.sshd = box.server(GSSAPIAuthentication="yes", GSSAPIStrictAcceptorCheck="no",
                          PasswordAuthentication="yes", Environment=box.krb)
    box.sshd.authorized.write_text("")
    box.trust(box.sshd)
    box.host("h", box.sshd, GSSAPIAuthentication="yes")
    box.start_daemon()
    box.client = {"KRB5CCNAME": box.krb["KRB5CCNAME"], "KRB5_CONFIG": box.krb["KRB5_CONFIG"],
                  "HAWSER_FALLBACK": None}
    return box


@oracle
def test_ticket_gets_in(realm):
    """The ticket of the client that asks, which is named in its environment only."""
    assert realm.ok("h", "echo in", env=realm.client, start_new_session=True) == "in\n"
    assert "Accepted gssapi-with-mic" in read_text(realm.sshd.log)


@oracle
def test_no_ticket(realm):
    """Without one: refused, as ever."""
    os.unlink(realm.dir / "krb/cc")
    result = realm.run("-o", "BatchMode=yes", "h", "true", env=realm.client)
    assert result.status == 255 and "Permission denied (" in result.err


def test_a_key_that_works_needs_no_ticket(realm):
    """hawser holds the transport that a key made."""
    realm.sshd.authorized.write_text(read_text(f"{realm.keys.user}.pub"))
    for _ in range(2):
        assert realm.ok("h", "echo in", env={**realm.client, "HAWSER_FALLBACK": "no"}) == "in\n"
    assert realm.sshd.logins() == 1 and "Accepted publickey" in read_text(realm.sshd.log)
