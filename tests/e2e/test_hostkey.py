"""Host keys: never accepted silently, whatever the files and the options say."""
import os
import re
import subprocess

import pexpect
import pytest

from util import holds_for, kill, read_text, wait_for

oracle = pytest.mark.oracle


@pytest.fixture
def fresh(bare):
    """A server that nobody knows yet; only its Ed25519 key is offered."""
    bare.sshd = bare.server(HostKeys=["ed25519"])
    bare.host("h", bare.sshd, StrictHostKeyChecking=None)
    bare.start_daemon()
    return bare


def line(box, kind="ed25519", name=None, marker=""):
    name = name or f"[127.0.0.1]:{box.sshd.port}"
    return f"{marker}{name} {box.keys.host_public(kind)}\n"


def write(box, *lines):
    box.known_hosts.write_text("".join(lines))


def other_key(box, name=None):
    """A line that lists another Ed25519 key for the server."""
    key = box.keys.make("host_other")
    public = " ".join(read_text(f"{key}.pub").split()[:2])
    return f"{name or f'[127.0.0.1]:{box.sshd.port}'} {public}\n"


FAILED = re.compile("(?i)host key verification failed|identification has changed")


def refused(result):
    assert result.status == 255 and result.out == b"", result
    assert FAILED.search(result.err), result
    return result


def batch(box, *options):
    return box.run("-o", "BatchMode=yes", *options, "h", "echo in", start_new_session=True)


# ---- unknown ---------------------------------------------------------------------------------

@oracle
@pytest.mark.core
def test_unknown_is_asked_and_remembered(fresh):
    """ssh's question with the fingerprint; "yes" goes on and writes the key down."""
    term = fresh.spawn("h", "echo in")
    term.expect("The authenticity of host .*can't be established")
    term.expect_exact(fresh.keys.fingerprint("host_ed25519"))
    term.expect_exact("Are you sure you want to continue connecting (yes/no/[fingerprint])?")
    term.sendline("yes")
    term.expect("Warning: Permanently added .* to the list of known hosts")
    term.expect_exact("in\r\n")
    assert fresh.keys.host_public() in read_text(fresh.known_hosts)
    assert f"[127.0.0.1]:{fresh.sshd.port} " in read_text(fresh.known_hosts)
    assert batch(fresh).text == "in\n"


@oracle
@pytest.mark.core
def test_no_ends_it(fresh):
    """"no": 255, and nothing is written."""
    term = fresh.spawn("h", "echo in")
    term.expect_exact("(yes/no/[fingerprint])?")
    term.sendline("no")
    term.expect("(?i)host key verification failed")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255 and not os.path.exists(fresh.known_hosts)


@oracle
def test_fingerprint_as_the_answer(fresh):
    """The fingerprint itself is a yes; another answer is asked again."""
    term = fresh.spawn("h", "echo in")
    term.expect_exact("(yes/no/[fingerprint])?")
    term.sendline("SHA256:" + "A" * 43)
    term.expect_exact("Please type 'yes', 'no' or the fingerprint:")
    term.sendline(fresh.keys.fingerprint("host_ed25519"))
    term.expect_exact("in\r\n")


@oracle
@pytest.mark.parametrize("typed", ["\x04", "\r"], ids=["end of file", "empty line"])
def test_nothing_as_the_answer(fresh, typed):
    """It means no."""
    term = fresh.spawn("h", "echo in")
    term.expect_exact("(yes/no/[fingerprint])?")
    term.send(typed)
    term.expect("(?i)host key verification failed")
    term.expect(pexpect.EOF)
    term.wait()
    assert term.exitstatus == 255


@oracle
def test_unknown_in_batch_mode(fresh):
    """BatchMode: refused, not asked, nothing written."""
    refused(batch(fresh))
    assert not os.path.exists(fresh.known_hosts)


@oracle
def test_unknown_without_terminal(fresh):
    """Nobody to ask: refused."""
    result = fresh.run("h", "echo in", start_new_session=True)
    assert result.status == 255 and result.out == b""
    assert not os.path.exists(fresh.known_hosts)


@oracle
@pytest.mark.core
def test_strict_yes_refuses_unknown(fresh):
    """StrictHostKeyChecking=yes never asks and never adds."""
    term = fresh.spawn("-o", "StrictHostKeyChecking=yes", "h", "echo in")
    text = term.read().decode()
    assert FAILED.search(text) and "yes/no" not in text
    assert re.search(r"No ED25519 host key is known for \S+ and you have requested strict checking",
                     text)
    assert not os.path.exists(fresh.known_hosts)


@oracle
def test_accept_new_adds(fresh):
    """accept-new: added without a question, and said."""
    result = batch(fresh, "-o", "StrictHostKeyChecking=accept-new")
    assert result.text == "in\n" and "Permanently added" in result.err
    assert fresh.keys.host_public() in read_text(fresh.known_hosts)


@oracle
def test_no_adds(fresh):
    """StrictHostKeyChecking=no: added without a question, and said."""
    result = batch(fresh, "-o", "StrictHostKeyChecking=no")
    assert result.text == "in\n" and "Permanently added" in result.err
    assert fresh.keys.host_public() in read_text(fresh.known_hosts)


@oracle
def test_hashed_when_written(fresh):
    """HashKnownHosts: the new line hides the name, and is found again."""
    options = ("-o", "HashKnownHosts=yes", "-o", "StrictHostKeyChecking=accept-new")
    assert batch(fresh, *options).text == "in\n"
    assert read_text(fresh.known_hosts).startswith("|1|")
    assert batch(fresh, "-o", "StrictHostKeyChecking=yes").text == "in\n"
    found = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{fresh.sshd.port}", "-f",
                            str(fresh.known_hosts)], capture_output=True, text=True)
    assert found.returncode == 0


@oracle
def test_question_by_askpass(fresh):
    """Without a terminal the question goes to SSH_ASKPASS, if there is one."""
    path = fresh.dir / "askpass"
    path.write_text(f"#!/bin/sh\necho \"$1\" >>{fresh.dir}/asked\necho yes\n")
    path.chmod(0o755)
    result = fresh.run("h", "echo in", start_new_session=True,
                       env={"SSH_ASKPASS": path, "SSH_ASKPASS_REQUIRE": "force"})
    assert result.text == "in\n", result
    assert fresh.keys.fingerprint("host_ed25519") in read_text(fresh.dir / "asked")


def test_one_question_for_several_clients(fresh):
    """Three clients wait while one is asked; the answer serves all, one login."""
    term = fresh.spawn("h", "echo in")
    term.expect_exact("(yes/no/[fingerprint])?")
    others = [fresh.popen("h", f"echo {i}", start_new_session=True) for i in range(3)]
    holds_for(lambda: all(p.poll() is None for p in others), 0.3, "a waiting client gave up")
    term.sendline("yes")
    assert [p.communicate(timeout=30)[0] for p in others] == [b"0\n", b"1\n", b"2\n"]
    assert fresh.sshd.logins() == 1


def test_client_killed_at_the_question(fresh):
    """The asked client dies: nothing is accepted, the next client is asked again."""
    term = fresh.spawn("h", "echo in")
    term.expect_exact("(yes/no/[fingerprint])?")
    kill(term.pid)
    refused(batch(fresh))
    assert not os.path.exists(fresh.known_hosts) and fresh.sshd.logins() == 0


# ---- changed and revoked ---------------------------------------------------------------------

@oracle
@pytest.mark.core
@pytest.mark.parametrize("strict", ["yes", "ask", "accept-new"])
def test_changed_is_refused(fresh, strict):
    """Another key than the listed one: refused in every mode that checks."""
    write(fresh, "# a comment\n", other_key(fresh))
    before = read_text(fresh.known_hosts)
    result = refused(batch(fresh, "-o", f"StrictHostKeyChecking={strict}"))
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED!" in result.err
    assert "Host key verification failed." in result.err
    assert "Offending ED25519 key in " in result.err
    assert fresh.keys.fingerprint("host_ed25519") in result.err
    assert re.search(rf"{re.escape(str(fresh.known_hosts))}:2\b", result.err)
    assert read_text(fresh.known_hosts) == before and fresh.sshd.logins() == 0


def test_changed_shows_the_old_fingerprint_and_what_to_do(fresh):
    """hawser shows the old fingerprint too, and the command that removes the line."""
    write(fresh, other_key(fresh))
    err = refused(batch(fresh)).err
    assert fresh.keys.fingerprint("host_other") in err and "ssh-keygen" in err


@oracle
def test_changed_is_not_asked_about(fresh):
    """On a terminal a changed key is no question."""
    write(fresh, other_key(fresh))
    text = fresh.spawn("h", "echo in").read().decode()
    assert "yes/no" not in text and FAILED.search(text)


@oracle
def test_changed_with_strict_no_is_loud(fresh):
    """StrictHostKeyChecking=no goes on, but never silently."""
    write(fresh, other_key(fresh))
    result = batch(fresh, "-o", "StrictHostKeyChecking=no")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in result.err


@oracle
@pytest.mark.core
@pytest.mark.parametrize("strict", ["yes", "ask", "accept-new", "no"])
def test_revoked_is_refused(fresh, strict):
    """@revoked: refused, even where the same key is listed as good."""
    write(fresh, line(fresh), line(fresh, name="*", marker="@revoked "))
    result = batch(fresh, "-o", f"StrictHostKeyChecking={strict}")
    assert "revoked" in result.err.lower()
    if strict != "no":  # with which ssh goes on, loudly
        assert (result.status, result.out, fresh.sshd.logins()) == (255, b"", 0)


# ---- what counts as known --------------------------------------------------------------------

@oracle
def test_hashed_line(fresh):
    """A hashed line is found."""
    write(fresh, line(fresh))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(fresh.known_hosts)], check=True,
                   capture_output=True)
    assert read_text(fresh.known_hosts).startswith("|1|")
    assert batch(fresh).text == "in\n"


@oracle
@pytest.mark.parametrize("name, good", [
    ("[127.0.0.*]:*", True), ("127.0.0.1", True), ("[127.0.0.1]:1", False),
    ("*,!127.0.0.1,![127.0.0.1]:*", False), ("other,[127.0.0.1]:PORT", True),
])
def test_names_that_match(fresh, name, good):
    """Wildcards, lists, negation, ports, and a line without port for a server on another port."""
    write(fresh, line(fresh, name=name.replace("PORT", str(fresh.sshd.port))))
    result = batch(fresh)
    assert (result.text == "in\n") == good, result


@oracle
def test_host_key_alias(fresh):
    """HostKeyAlias: the alias is the name that counts, without a port."""
    write(fresh, line(fresh, name="the-alias"), other_key(fresh, "bad-alias"), line(fresh))
    assert batch(fresh, "-o", "HostKeyAlias=the-alias").text == "in\n"
    refused(batch(fresh, "-o", "HostKeyAlias=another"))
    refused(batch(fresh, "-o", "HostKeyAlias=bad-alias"))


@oracle
def test_global_known_hosts(fresh):
    """GlobalKnownHostsFile counts as well, and is not written to."""
    (fresh.dir / "global_known_hosts").write_text(line(fresh))
    assert batch(fresh).text == "in\n"


@oracle
def test_several_user_files(fresh):
    """Several UserKnownHostsFile: all are read, new keys go to the first."""
    second = fresh.dir / "second"
    second.write_text(line(fresh))
    fresh.host("h", fresh.sshd, StrictHostKeyChecking=None,
               UserKnownHostsFile=f"{fresh.known_hosts} {second}")
    assert batch(fresh).text == "in\n"
    second.write_text("")
    fresh.host("g", fresh.sshd, StrictHostKeyChecking="accept-new", User="nobody-here",
               UserKnownHostsFile=f"{fresh.known_hosts} {second}")
    fresh.run("-o", "BatchMode=yes", "g", "true")
    assert fresh.keys.host_public() in read_text(fresh.known_hosts) and read_text(second) == ""


@oracle
def test_known_type_is_preferred(bare):
    """Only the RSA key is listed: that one is asked for, although others come first."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd, ["rsa"])
    bare.host("h", bare.sshd)
    bare.start_daemon()
    assert bare.ok("h", "echo in") == "in\n"


@oracle
def test_garbage_lines_are_skipped(fresh):
    """Lines that make no sense do not hide a good one."""
    write(fresh, "\n", "garbage\n", "[127.0.0.1]:x ssh-ed25519 !!!!\n", "@what a b c\n",
          "a" * 10_000 + "\n", line(fresh))
    assert batch(fresh).text == "in\n"


def test_file_without_a_last_newline(fresh):
    """Adding to a file whose last line has no newline keeps both whole (ssh glues them)."""
    write(fresh, other_key(fresh, "elsewhere").rstrip("\n"))
    assert batch(fresh, "-o", "StrictHostKeyChecking=accept-new").text == "in\n"
    assert batch(fresh, "-o", "StrictHostKeyChecking=yes").text == "in\n"
    assert "elsewhere ssh-ed25519" in read_text(fresh.known_hosts)


@oracle
def test_dev_null_as_known_hosts(fresh):
    """UserKnownHostsFile=/dev/null with accept-new works each time."""
    fresh.host("h", fresh.sshd, StrictHostKeyChecking="accept-new",
               UserKnownHostsFile="/dev/null")
    assert batch(fresh).text == "in\n"
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


@oracle
def test_unwritable_known_hosts(fresh):
    """A file that can't be written: said, and the call goes on as with ssh."""
    (fresh.dir / "file").write_text("")
    fresh.host("h", fresh.sshd, StrictHostKeyChecking="accept-new",
               UserKnownHostsFile=f"{fresh.dir}/file/known_hosts")
    result = batch(fresh)
    assert result.text == "in\n" and "Failed to add the host" in result.err


def test_full_disk(fresh):
    """A full file system under known_hosts: said, the call goes on, the old lines are whole."""
    small = fresh.dir / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "hawser-test", str(small)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no right to mount a small file system")
    try:
        hosts = small / "known_hosts"
        hosts.write_text(other_key(fresh, "elsewhere"))
        with open(hosts, "a") as f:
            f.write("# " + "x" * (4096 - hosts.stat().st_size - 3) + "\n")
        before = hosts.read_text()
        fresh.host("h", fresh.sshd, StrictHostKeyChecking="accept-new",
                   UserKnownHostsFile=str(hosts))
        result = batch(fresh)
        assert result.text == "in\n" and "No space left" in result.err
        assert hosts.read_text() == before
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# ---- and held transports ---------------------------------------------------------------------

def test_a_held_transport_is_no_way_around_a_stricter_check(fresh):
    """accept-new has let one in; a caller with an empty known-hosts file and yes is refused."""
    assert batch(fresh, "-o", "StrictHostKeyChecking=accept-new").text == "in\n"
    empty = fresh.dir / "empty"
    empty.write_text("")
    refused(batch(fresh, "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={empty}"))


def test_no_key_is_asked_while_refusing(fresh):
    """A refused host never sees an authentication attempt."""
    write(fresh, other_key(fresh))
    refused(batch(fresh))
    wait_for(lambda: "Connection closed" in read_text(fresh.sshd.log)
             or "Connection reset" in read_text(fresh.sshd.log), "the server sees the end")
    assert "publickey" not in read_text(fresh.sshd.log)
