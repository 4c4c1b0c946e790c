"""CheckHostIP: ssh leaves it out on loopback addresses, so a loopback device gets another one, in a
network of this test's own."""
import ctypes
import os
import subprocess

import pytest

from util import read_text

oracle = pytest.mark.oracle
CLONE_NEWNET = 0x40000000
ADDRESS = "192.0.2.7"  # of the block for documentation


@pytest.fixture(scope="module")
def address():
    """An address on the loopback device of a network that is this process's meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip("no right to a network of its own")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
        yield ADDRESS
    except FileNotFoundError:
        pytest.skip("iproute2 is not installed")
    finally:
        libc.setns(before, CLONE_NEWNET)
        os.close(before)


@pytest.fixture
def net(bare, address):
    """A server at the address, for which "h" and "g" are names (by HostKeyAlias and none)."""
    bare.address = address
    bare.sshd = bare.server(HostKeys=["ed25519"], ListenAddress=address)
    bare.ours = bare.keys.host_public()
    bare.wrong = " ".join(read_text(f"{bare.keys.make('host_other')}.pub").split()[:2])
    bare.name, bare.ip = "the-name", f"[{address}]:{bare.sshd.port}"
    bare.start_daemon()
    return bare


def known(box, *lines):
    box.known_hosts.write_text("".join(f"{line}\n" for line in lines))


def run(box, **options):
    """The host has a name (its alias), and CheckHostIP is on."""
    box.host("h", box.sshd, **{"HostName": box.address, "HostKeyAlias": box.name,
                               "CheckHostIP": "yes", **options})
    return box.run("h", "echo in", start_new_session=True)


@oracle
def test_address_is_learned(net):
    """A known name at a new address: the address is written down, and said."""
    known(net, f"{net.name} {net.ours}")
    result = run(net)
    assert result.text == "in\n"
    assert (f"Warning: Permanently added the ED25519 host key for IP address '{net.ip}' to the "
            "list of known hosts.") in result.err
    assert read_text(net.known_hosts) == f"{net.name} {net.ours}\n{net.ip} {net.ours}\n"
    assert run(net, Compression="yes").err == ""


@oracle
def test_address_is_not_written_to_where_nothing_can_be(net):
    """The name is known by a program: the address is only spoken of."""
    program = net.dir / "known"
    program.write_text(f"#!/bin/sh\necho \"$1\" >>{net.dir}/asked\n"
                       f"[ \"$1\" = ADDRESS ] || echo '{net.name} {net.ours}'\n")
    program.chmod(0o755)
    known(net)
    result = run(net, KnownHostsCommand=f"{program} %I")
    assert result.text == "in\n" and read_text(net.known_hosts) == ""
    assert f"ED25519 host key for IP address '{net.ip}' not in list of known hosts." in result.err
    assert read_text(net.dir / "asked").split() == ["ORDER", "HOSTNAME", "ADDRESS"]


@oracle
@pytest.mark.parametrize("hashed", ["no", "yes"])
def test_new_host_with_its_address(net, hashed):
    """A new name: name and address are written together, or hashed on a line each."""
    known(net)
    result = run(net, StrictHostKeyChecking="accept-new", HashKnownHosts=hashed)
    assert result.text == "in\n"
    lines = read_text(net.known_hosts).splitlines()
    assert f"Permanently added '{net.name},{net.ip}' (ED25519)" in result.err
    if hashed == "no":
        assert lines == [f"{net.name},{net.ip} {net.ours}"]
    else:
        assert len(lines) == 2 and all(line.startswith("|1|") for line in lines)
    for name in (net.name, net.ip):
        assert subprocess.run(["ssh-keygen", "-F", name, "-f", str(net.known_hosts)],
                              capture_output=True).returncode == 0
    assert run(net, Compression="yes", StrictHostKeyChecking="yes").err == ""


@oracle
@pytest.mark.parametrize("strict, good", [("yes", False), ("accept-new", False), ("no", True)])
def test_address_with_another_key(net, strict, good):
    """The name's key is right, the address is known with another: refused, or said."""
    known(net, f"{net.name} {net.ours}", f"{net.ip} {net.wrong}")
    result = run(net, StrictHostKeyChecking=strict)
    assert (result.text == "in\n") == good and (result.status == 255) != good
    for words in ("Warning: the ED25519 host key for 'the-name' differs from the key for the IP "
                  f"address '{net.ip}'", f"Offending key for IP in {net.known_hosts}:2",
                  f"Matching host key in {net.known_hosts}:1"):
        assert words in result.err


@oracle
@pytest.mark.parametrize("answer, good", [("yes", True), ("no", False)])
def test_address_with_another_key_is_asked_about(net, answer, good):
    """StrictHostKeyChecking=ask: a question of its own."""
    known(net, f"{net.name} {net.ours}", f"{net.ip} {net.wrong}")
    net.host("h", net.sshd, HostName=net.address, HostKeyAlias=net.name, CheckHostIP="yes",
             StrictHostKeyChecking="ask")
    term = net.spawn("h", "echo in")
    term.expect_exact(f"Offending key for IP in {net.known_hosts}:2\r\n")
    term.expect_exact(f"Matching host key in {net.known_hosts}:1\r\n")
    term.expect_exact("Are you sure you want to continue connecting (yes/no)? ")
    term.sendline(answer)
    term.expect_exact("in\r\n" if good else "Host key verification failed.")


@oracle
def test_off_by_default(net):
    """Without CheckHostIP the address does not matter."""
    known(net, f"{net.name} {net.ours}", f"{net.ip} {net.wrong}")
    result = run(net, CheckHostIP=None)
    assert (result.text, result.err) == ("in\n", "")
