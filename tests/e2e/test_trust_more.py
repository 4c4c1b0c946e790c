"""Trust beyond the plain known_hosts line: revocation lists, KnownHostsCommand, host certificates,
CheckHostIP, pictures of keys."""
import os
import re
import subprocess

import pexpect
import pytest

from daemon import HAWSER, ORACLE
from util import alive, read_text, wait_for

oracle = pytest.mark.oracle
FAILED = "Host key verification failed."


@pytest.fixture
def host(bare):
    """A server that is known as "h"; only its Ed25519 key is offered."""
    bare.sshd = bare.server(HostKeys=["ed25519"])
    bare.trust(bare.sshd, ["ed25519"])
    bare.host("h", bare.sshd)
    bare.start_daemon()
    return bare


def again(box, **options):
    """Other options for "h", which is always a transport of its own."""
    box.host("h", box.sshd, **options)
    return box.run("h", "echo in", start_new_session=True)


def refused(result):
    assert result.status == 255 and result.out == b"" and FAILED in result.err, result
    return result.err


# ---- RevokedHostKeys -------------------------------------------------------------------------

def keygen(*words):
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)


def krl(box, name, *entries):
    """A binary list: public key files, or lines of a KRL specification."""
    spec = box.dir / f"{name}.spec"
    words = [str(e) for e in entries if os.path.exists(str(e))]
    lines = [str(e) for e in entries if not os.path.exists(str(e))]
    spec.write_text("".join(f"{line}\n" for line in lines))
    keygen("-k", "-f", box.dir / name, *words, *([spec] if lines else []))
    return box.dir / name


@oracle
@pytest.mark.core
@pytest.mark.parametrize("form", ["text", "key", "sha1", "sha256", "hash"])
def test_revoked_host_key(host, form):
    """RevokedHostKeys as a text and as each kind of KRL: ours is refused, another's is not."""
    box = host
    ours, other = f"{box.keys.dir}/host_ed25519.pub", f"{box.keys.dir}/host_rsa.pub"
    made = []
    for name, key in (("ours", ours), ("other", other)):
        public = read_text(key).strip()
        if form == "text":
            (box.dir / name).write_text(f"# a comment\n\n  {public}\n")
            made.append(box.dir / name)
        elif form == "key":
            made.append(krl(box, name, key))
        elif form == "hash":
            made.append(krl(box, name, f"hash: {box.keys.fingerprint('host_ed25519')}"
                            if key == ours else f"hash: {box.keys.fingerprint('host_rsa')}"))
        else:
            made.append(krl(box, name, f"{form}: {public}"))
    err = refused(again(box, RevokedHostKeys=str(made[0])))
    assert re.search(rf"Host key ED25519 {re.escape(box.keys.fingerprint('host_ed25519'))} revoked "
                     rf"by file {re.escape(str(made[0]))}", err)
    assert again(box, RevokedHostKeys=str(made[1])).text == "in\n"
    assert box.sshd.logins() == 1


@oracle
@pytest.mark.parametrize("what", ["missing", "directory", "broken", "newer", "text"])
def test_revoked_file_that_says_nothing(host, what):
    """A list that cannot be read or understood: no key is accepted at all."""
    box, path = host, host.dir / "list"
    if what == "directory":
        path.mkdir()
    elif what == "text":
        path.write_text("ssh-ed25519 no-key-at-all\n")
    elif what != "missing":
        data = bytearray(krl(box, "list", f"{box.keys.dir}/host_rsa.pub").read_bytes())
        if what == "broken":
            del data[-3:]
        else:
            data[11] = 9  # a version of the format that nobody knows
        path.write_bytes(data)
    err = refused(again(box, RevokedHostKeys=str(path)))
    assert "Error checking host key ED25519 " in err and f"revoked keys file {path}" in err
    assert box.sshd.logins() == 0


@pytest.mark.parametrize("what", ["fifo", "endless"])
def test_revoked_file_that_is_none(host, what):
    """What has no end, or none that can be waited for, is no empty list."""
    path = host.dir / "list"
    if what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    refused(again(host, RevokedHostKeys=str(path)))
    assert host.sshd.logins() == 0


@oracle
def test_revocation_comes_before_all_else(host):
    """Neither StrictHostKeyChecking=no nor NoHostAuthenticationForLocalhost gets past it."""
    box = host
    path = krl(box, "list", f"{box.keys.dir}/host_ed25519.pub")
    refused(again(box, RevokedHostKeys=str(path), StrictHostKeyChecking="no"))
    refused(again(box, RevokedHostKeys=str(path), NoHostAuthenticationForLocalhost="yes"))
    assert again(box, RevokedHostKeys="none").text == "in\n"


@oracle
def test_empty_list(host):
    """/dev/null and an empty KRL revoke nothing; a list of certificates concerns no plain key."""
    box = host
    assert again(box, RevokedHostKeys="/dev/null").text == "in\n"
    ca = box.keys.make("krl_ca")
    spec = box.dir / "spec"
    spec.write_text("serial: 1-10\nid: x\n")
    keygen("-k", "-f", box.dir / "certs", "-s", f"{ca}.pub", spec)
    assert again(box, RevokedHostKeys=str(box.dir / "certs")).text == "in\n"


# ---- KnownHostsCommand -----------------------------------------------------------------------

def command(box, *lines):
    """A program that notes its arguments, environment and directory, and prints these lines."""
    path = box.dir / "known"
    path.write_text(f"#!/bin/sh\nprintf '<%s>' \"$@\" >>{box.dir}/args; echo >>{box.dir}/args\n"
                    f"echo \"$MARK $(pwd)\" >>{box.dir}/context\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return str(path)


@oracle
@pytest.mark.core
def test_known_hosts_command(host):
    """The key is known by a program only; what another key's line says is refused."""
    box = host
    empty = {"UserKnownHostsFile": "/dev/null"}
    good = command(box, f"echo \"[127.0.0.1]:{box.sshd.port} {box.keys.host_public()}\"")
    assert again(box, KnownHostsCommand=good, **empty).text == "in\n"
    wrong = " ".join(read_text(f"{box.keys.make('host_other')}.pub").split()[:2])
    good = command(box, f"echo \"[127.0.0.1]:{box.sshd.port} {wrong}\"")
    err = refused(again(box, KnownHostsCommand=good, Compression="yes", **empty))
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED!" in err
    assert "Offending ED25519 key in KnownHostsCommand-HOSTNAME:1" in err


@oracle
@pytest.mark.parametrize("body, words", [
    ("exit 3", "KnownHostsCommand failed"),
    ("kill -9 $$", "KnownHostsCommand failed"),
    ("echo to the user >&2", "to the user"),
])
def test_known_hosts_command_that_fails(host, body, words):
    """A program that fails ends it; its own words reach the user; silence means unknown."""
    result = again(host, KnownHostsCommand=command(host, body), UserKnownHostsFile="/dev/null")
    assert result.status == 255 and result.out == b"" and words in result.err
    assert host.sshd.logins() == 0


@pytest.mark.parametrize("first", [":", "exec >&-"])
def test_known_hosts_command_that_hangs(host, first):
    """It is ended with the login's time (ConnectTimeout), also when it has closed its stdout;
    nobody else waits meanwhile."""
    box = host
    program = command(box, first, f"echo $$ >{box.dir}/pid", "exec sleep 1000")
    box.host("slow", box.sshd, KnownHostsCommand=program, ConnectTimeout=2)
    client = box.popen("slow", "true")
    pid = int(wait_for(lambda: read_text(box.dir / "pid").strip(), "the program"))
    assert box.ok("h", "echo in", timeout=20) == "in\n"
    assert alive(pid)
    assert client.wait(30) == 255
    wait_for(lambda: not alive(pid), "the program's end")


def test_known_hosts_command_that_never_stops_talking(host):
    """More than anybody needs is an end, not memory."""
    program = command(host, "exec yes '127.0.0.1 nonsense'")
    result = again(host, KnownHostsCommand=program)
    assert result.status == 255 and "KnownHostsCommand failed" in result.err


@oracle
@pytest.mark.parametrize("value, words", [
    ("relative/path", "path is not absolute"),
    ("/no.such/dir/program", "Could not stat KnownHostsCommand-"),
])
def test_known_hosts_command_that_is_none(host, value, words):
    """Said, and the files count alone."""
    result = again(host, KnownHostsCommand=value)
    assert result.text == "in\n" and words in result.err


def test_known_hosts_command_is_run_as_ssh_runs_it(host):
    """The same arguments, quoting and tokens, in the client's environment and directory."""
    box = host
    value = command(box, f"echo \"[127.0.0.1]:{box.sshd.port} {box.keys.host_public()}\"") + \
        ' plain "two words" \'%% %h %p %r\' a\\"b %n %k %I %t %f %K %u %d %i %L %l %C "" ${MARK}'
    box.host("h", box.sshd, KnownHostsCommand=value, UserKnownHostsFile="/dev/null")
    seen = []
    (box.dir / "here").mkdir()
    for program in ("/usr/bin/ssh", HAWSER):
        done = subprocess.run([program, "-F", str(box.config), "h", "echo in"], capture_output=True,
                              stdin=subprocess.DEVNULL, cwd=box.dir / "here", timeout=60,
                              env=box.environment({"MARK": program}))
        assert done.stdout == b"in\n", done.stderr
        text = read_text(box.dir / "args") + read_text(box.dir / "context")
        seen.append(text.replace(program, "PROGRAM"))
        (box.dir / "args").unlink()
        (box.dir / "context").unlink()
    assert seen[0].count("<ORDER>") == 1 and seen[0].count("<HOSTNAME>") == 1
    assert seen[1] == seen[0]


@oracle
def test_known_hosts_command_and_the_name(host):
    """%H is the name with its port, as known_hosts has it."""
    box = host
    value = command(box, f"test $2 = ORDER || echo \"$1 {box.keys.host_public()}\"") + " %H %I"
    assert again(box, KnownHostsCommand=value, UserKnownHostsFile="/dev/null").text == "in\n"
    assert f"<[127.0.0.1]:{box.sshd.port}><HOSTNAME>" in read_text(box.dir / "args")


# ---- host certificates -----------------------------------------------------------------------

@pytest.fixture
def certified(bare):
    """A server with a host certificate of a CA, beside its plain key."""
    bare.ca = bare.keys.make("host_ca")
    host = bare.dir / "certified"
    keygen("-t", "ed25519", "-N", "", "-f", host)
    keygen("-s", bare.ca, "-I", "host", "-h", "-n", "127.0.0.1", f"{host}.pub")
    bare.sshd = bare.server(HostKeys=[], HostKey=str(host), HostCertificate=f"{host}-cert.pub")
    bare.plain = " ".join(read_text(f"{host}.pub").split()[:2])
    bare.authority = " ".join(read_text(f"{bare.ca}.pub").split()[:2])
    bare.host("h", bare.sshd)
    bare.start_daemon()
    return bare


@oracle
@pytest.mark.core
@pytest.mark.parametrize("name", ["[127.0.0.1]:PORT", "*", "[127.0.0.*]:*", "*,![127.0.0.2]:*"])
def test_host_trusted_by_its_authority_only(certified, name):
    """@cert-authority alone: ssh does it (libssh cannot verify a host's certificate)."""
    box = certified
    name = name.replace("PORT", str(box.sshd.port))
    box.known_hosts.write_text(f"@cert-authority {name} {box.authority}\n")
    result = box.run("h", "echo in", env={"HAWSER_FALLBACK": None})
    assert result.text == "in\n" and box.sshd.logins() == 1
    if not ORACLE:
        result = box.run("h", "echo in")
        assert result.status == 255 and "certificate authority" in result.err


@oracle
@pytest.mark.core
def test_authority_and_plain_key(certified):
    """Both lines: the plain key's is enough."""
    box = certified
    box.known_hosts.write_text(f"@cert-authority * {box.authority}\n"
                               f"[127.0.0.1]:{box.sshd.port} {box.plain}\n")
    assert box.ok("h", "echo in") == "in\n"


@oracle
@pytest.mark.parametrize("strict", ["yes", "accept-new", "no"])
def test_authority_of_others_and_another_key(certified, strict):
    """Neither the CA nor the plain key is the host's: what ssh makes of it."""
    box = certified
    wrong = " ".join(read_text(f"{box.keys.make('host_other')}.pub").split()[:2])
    box.known_hosts.write_text(f"@cert-authority * {wrong}\n"
                               f"[127.0.0.1]:{box.sshd.port} {wrong}\n")
    box.host("h", box.sshd, StrictHostKeyChecking=strict)
    result = box.run("h", "echo in", start_new_session=True, env={"HAWSER_FALLBACK": None})
    assert (result.status == 0) == (strict == "no") and "HAS CHANGED!" in result.err


@oracle
def test_authority_for_other_names(certified):
    """A negated or foreign name: the @cert-authority line does not count, nor asks for ssh."""
    box = certified
    box.known_hosts.write_text(f"@cert-authority *.example {box.authority}\n"
                               f"@cert-authority *,!127.0.0.1,![127.0.0.1]:* {box.authority}\n")
    assert FAILED in box.run("h", "echo in", start_new_session=True).err
    with open(box.known_hosts, "a") as f:
        f.write(f"[127.0.0.1]:{box.sshd.port} {box.plain}\n")
    assert box.ok("h", "echo in") == "in\n"


# ---- the host's own rules --------------------------------------------------------------------

@oracle
@pytest.mark.parametrize("alias, good", [(None, True), ("other", False)])
def test_no_host_authentication_for_localhost(host, alias, good):
    """NoHostAuthenticationForLocalhost: any key of a loopback address, unless there is an alias."""
    host.known_hosts.write_text("")
    result = again(host, NoHostAuthenticationForLocalhost="yes", HostKeyAlias=alias)
    assert (result.text == "in\n") == good, result
    assert read_text(host.known_hosts) == ""


@oracle
def test_nowhere_to_write_to(host):
    """A new key that could not be written down is refused, whatever StrictHostKeyChecking says."""
    refused(again(host, StrictHostKeyChecking="no", UserKnownHostsFile="none"))


@oracle
def test_quiet_about_new_keys(host):
    """LogLevel ERROR hides that a key was added."""
    host.known_hosts.write_text("")
    result = again(host, StrictHostKeyChecking="no", LogLevel="ERROR")
    assert (result.out, result.err) == (b"in\n", "")
    assert host.keys.host_public() in read_text(host.known_hosts)


# ---- pictures --------------------------------------------------------------------------------

def picture(box, kind="ed25519", hash_name="sha256"):
    """What ssh-keygen -lv draws."""
    out = subprocess.run(["ssh-keygen", "-lv", "-E", hash_name, "-f",
                          f"{box.keys.dir}/host_{kind}.pub"], capture_output=True, text=True,
                         check=True).stdout
    return out.partition("\n")[2]


@oracle
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("hash_name", ["sha256", "md5"])
def test_picture_of_a_known_key(bare, kind, hash_name):
    """VisualHostKey: shown at each login, to the last character as ssh-keygen draws it."""
    box = bare
    box.sshd = box.server(HostKeys=[kind])
    box.trust(box.sshd, [kind])
    box.host("h", box.sshd, VisualHostKey="yes", FingerprintHash=hash_name)
    box.start_daemon()
    result = box.run("h", "echo in")
    assert result.out == b"in\n"
    assert re.fullmatch(r"Host key fingerprint is \S+\r?\n" + re.escape(picture(box, kind,
                        hash_name)), result.err.replace("\r\n", "\n")), result.err
    assert box.run("-q", "-o", "Compression=yes", "h", "true").err == ""


@oracle
def test_picture_with_the_question(host):
    """VisualHostKey: the picture stands below the fingerprint that is asked about."""
    host.known_hosts.write_text("")
    host.host("h", host.sshd, VisualHostKey="yes", StrictHostKeyChecking="ask")
    term = host.spawn("h", "echo in")
    term.expect_exact("key fingerprint is " + host.keys.fingerprint("host_ed25519") + ".\r\n" +
                      picture(host).replace("\n", "\r\n") + "This key is not known")
    term.expect_exact("(yes/no/[fingerprint])? ")
    term.sendline("yes")
    term.expect_exact("in\r\n")
    term.expect(pexpect.EOF)
    assert b"+--[" not in term.before
