"""ProxyJump: jump hosts whose transports are held and shared, with chains of them."""
import json
import re
import socket
import subprocess
import time

import pexpect
import pytest

from daemon import BIN
from util import SLOW, free_port, pattern, read_text, sha, wait_for


def chain(box, length, **options):
    """Servers and hosts j1, j2 ... and "far", each reached through the one before it."""
    names = [f"j{i}" for i in range(1, length + 1)] + ["far"]
    made = {}
    for before, name in zip([None] + names, names):
        made[name] = box.server(**options.get(name, {}))
        box.trust(made[name])
        box.host(name, made[name], ProxyJump=before)
    return made


@pytest.fixture
def jump(bare):
    """Hosts j1 and, through it, "far"; a daemon; nothing held yet."""
    bare.sshds = chain(bare, 1)
    bare.start_daemon()
    return bare


def logins(servers):
    """{name: logins} of the servers of a chain."""
    return {name: server.logins() for name, server in servers.items()}


def listed(box):
    """{destination: its item} of hawserctl list."""
    items = json.loads(box.ctl("list", "--json").out)["items"]
    return {item["destination"]: item for item in items}


# ---- chains ----------------------------------------------------------------------------------
@pytest.mark.core
def test_chain_of_three(bare):
    """Three jump hosts: one login at each, then none at all; hawserctl says the way."""
    servers = chain(bare, 3)
    bare.start_daemon()
    assert bare.ok("far", "echo $SSH_CONNECTION").split()[3] == str(servers["far"].port)
    assert set(logins(servers).values()) == {1}
    for name in ("far", "j2", "far", "j3", "j1"):
        assert bare.ok(name, "echo again") == "again\n"
    assert set(logins(servers).values()) == {1}
    items = listed(bare)
    assert {name: item["via"].partition("@")[2] for name, item in items.items()} == {
        "j1": "", "j2": f"127.0.0.1:{servers['j1'].port}",
        "j3": f"127.0.0.1:{servers['j2'].port}", "far": f"127.0.0.1:{servers['j3'].port}"}
    assert items["j1"]["address"] == "127.0.0.1" and items["far"]["address"] == ""
    table = bare.ctl("list").text.splitlines()
    assert table[0].endswith("  VIA") and sum("@127.0.0.1:" in line[30:] for line in table) == 3


def test_exec_costs_one_round_trip(bare):
    """Through three jump hosts, with all of the way in one long hop: a command waits for one
    round trip, not one for each hop."""
    servers = chain(bare, 3)
    way = subprocess.Popen([BIN.parent / "bench/delayproxy", "--delay", "100",
                            str(servers["j1"].port)], stdout=subprocess.PIPE, text=True)
    bare.clients.append(way)
    port = int(way.stdout.readline())
    bare.host("j1", servers["j1"], Port=port, HostKeyAlias="gate")
    with open(bare.known_hosts, "a") as f:
        f.write(f"gate {bare.keys.host_public()}\n")
    bare.start_daemon()
    bare.ok("far", "true")

    def seconds():
        begin = time.monotonic()
        bare.ok("far", "true")
        return time.monotonic() - begin
    assert 0.2 <= min(seconds() for _ in range(6)) < 0.36
    assert set(logins(servers).values()) == {1}


def test_no_acknowledgement_is_waited_for(jump):
    """A jump host's sshd holds small packets back (Nagle) until the last one is acknowledged, which
    our kernel would do after 40 ms."""
    jump.ok("far", "true")

    def seconds():
        begin = time.monotonic()
        jump.ok("far", "true")
        return time.monotonic() - begin
    assert min(seconds() for _ in range(12)) < 0.035 * SLOW


def test_20_cold_clients_log_in_once(bare):
    """20 clients at once, half of them for the jump host itself: one login at each server."""
    servers = chain(bare, 2)
    bare.start_daemon()
    procs = [bare.popen("far" if i % 2 else "j2", f"echo {i}") for i in range(20)]
    for i, proc in enumerate(procs):
        out, err = proc.communicate(timeout=60)
        assert (proc.returncode, out, err) == (0, b"%d\n" % i, b"")
    assert set(logins(servers).values()) == {1}


def test_second_host_through_the_same_jump(jump):
    """Another host behind the jump host: no further login at that."""
    other = jump.server()
    jump.trust(other)
    jump.host("other", other)
    assert jump.ok("far", "echo in") == "in\n"
    assert jump.ok("-J", "j1", "other", "echo in") == "in\n"
    assert jump.ok("-J", "j1", "other", "echo in") == "in\n"
    assert (jump.sshds["j1"].logins(), other.logins()) == (1, 1)


@pytest.mark.parametrize("spec, used", [("j1", "j1"), ("{user}@127.0.0.1:{port}", None),
                                        ("ssh://{user}@127.0.0.1:{port}", None), ("j1,j2", "j2")])
def test_ways_to_name_a_jump_host(bare, spec, used):
    """-J in ssh's forms; ProxyJump none takes one back."""
    servers = chain(bare, 2)
    servers["far"].options["AllowTcpForwarding"] = "no"
    bare.host("far", servers["far"])  # not behind anything by itself
    bare.host("127.0.0.1", servers["j1"])
    bare.start_daemon()
    spec = spec.format(user=bare.account.name, port=servers["j1"].port)
    assert bare.ok("-J", spec, "far", "echo in") == "in\n"
    counts = logins(servers)
    assert counts["far"] == 1 and counts["j1"] == 1 and counts["j2"] == (used == "j2")
    assert bare.ok("-o", "ProxyJump=none", "far", "echo in") == "in\n"
    assert servers["far"].logins() == 2, "a direct connection is another one"


def test_bytes_come_through(jump):
    """Both ways through a jump host, unharmed."""
    data = pattern(24 << 20)
    result = jump.run("far", "tee /dev/stderr | sha256sum", input=data)
    assert result.text.split()[0] == sha(data) and len(result.err) > 1 << 20
    assert sha(jump.run("far", "cat", input=data).out) == sha(data)


def test_forwards_through_a_jump_host(jump):
    """-W and -L at the host behind it; what the jump host's own configuration forwards is not set
    up for its sake."""
    listens, taken = free_port(), free_port()
    jump.host("j1", jump.sshds["j1"], LocalForward=f"{taken} 127.0.0.1:1")
    port = jump.sshds["far"].port
    proc = jump.popen("-W", f"127.0.0.1:{port}", "far", stdin=subprocess.PIPE)
    assert proc.stdout.readline().startswith(b"SSH-2.0-")
    jump.popen("-N", "-L", f"{listens}:127.0.0.1:{port}", "far")

    def answer():
        try:
            with socket.create_connection(("127.0.0.1", listens), timeout=20) as s:
                return s.recv(8)
        except OSError:
            return None
    assert wait_for(answer, "the forward") == b"SSH-2.0-"
    with socket.socket() as s:
        s.bind(("127.0.0.1", taken))
    assert logins(jump.sshds) == {"j1": 1, "far": 1}


# ---- what goes wrong -------------------------------------------------------------------------
@pytest.mark.parametrize("option", [{"AllowTcpForwarding": "no"}, {"PermitOpen": "127.0.0.1:1"}])
def test_jump_host_that_does_not_forward(bare, option):
    """Refused by the jump host's configuration: said so, with where to look."""
    chain(bare, 1, j1=option)
    bare.start_daemon()
    result = bare.run("far", "true")
    assert result.status == 255
    assert re.search(r"jump host \S+@127.0.0.1:\d+: it refused to forward to 127.0.0.1 port \d+: "
                     "administratively prohibited", result.err), result
    assert "AllowTcpForwarding" in result.err and "PermitOpen" in result.err
    assert bare.ok("j1", "echo in") == "in\n"


def test_host_that_the_jump_host_cannot_reach(jump):
    """Nothing listens there, or no such name: the jump host's own words."""
    port = free_port()
    result = jump.run("-p", str(port), "far", "true")
    assert result.status == 255 and f"port {port}: connect failed: Connection refused" in result.err
    assert "as seen from there" in result.err
    result = jump.run("-J", "j1", "no-such-host.invalid", "true")
    assert result.status == 255 and "forward to no-such-host.invalid port 22" in result.err
    assert jump.sshds["j1"].logins() == 1


def test_jump_host_that_is_down(jump):
    """The jump host is named, with the reason, and the host behind it."""
    jump.sshds["j1"].stop()
    result = jump.run("far", "true")
    assert result.status == 255
    assert re.search(r"far: its jump host cannot be used: connect to 127.0.0.1 .*refused",
                     result.err), result


def test_jump_host_that_refuses_the_login(jump):
    """A login that fails at the jump host is told as such, once."""
    jump.sshds["j1"].authorized.write_text("")
    result = jump.run("far", "true")
    assert result.status == 255 and "its jump host cannot be used: j1" in result.err, result
    assert "Permission denied" in result.err and jump.sshds["far"].connections() == 0


def test_jump_host_dies(jump):
    """A lost jump host ends what runs behind it, with a cause that names it; the next request
    makes the way anew."""
    proc = jump.popen("far", "echo up; exec sleep 6661")
    assert proc.stdout.readline() == b"up\n"
    jump.sshds["j1"].cut()
    out, err = proc.communicate(timeout=20)
    assert proc.returncode == 255 and re.search(rb"its jump host \S+ was lost", err), err
    assert jump.ok("far", "echo again") == "again\n"
    assert logins(jump.sshds) == {"j1": 2, "far": 2}


def test_host_behind_it_dies(jump):
    """Only what is behind the jump host is made anew."""
    proc = jump.popen("far", "echo up; exec sleep 6662")
    assert proc.stdout.readline() == b"up\n"
    jump.sshds["far"].cut()
    err = proc.communicate(timeout=20)[1]
    assert proc.returncode == 255 and b"closed the connection" in err and b"through" in err, err
    assert jump.ok("far", "echo again") == "again\n"
    assert logins(jump.sshds) == {"j1": 1, "far": 2}


def test_loops(bare):
    """A jump host that leads back to itself: ssh's words, no process storm, no held lock."""
    server = bare.server()
    bare.trust(server)
    bare.host("a", server, ProxyJump="b")
    bare.host("b", server, ProxyJump="c")
    bare.host("c", server, ProxyJump="b")
    bare.host("own", server, ProxyJump=f"{bare.account.name}@own:{server.port}")
    bare.host("h", server)
    bare.start_daemon()
    for name, via in (("a", "b"), ("b", "c"), ("own", "own")):
        result = bare.run(name, "true")
        assert result.status == 255 and f"jumphost loop via {via}" in result.err, (name, result)
    assert bare.ok("h", "echo in") == "in\n" and server.connections() == 1


def test_too_many_jump_hosts(bare):
    """17 on the way: refused, with the number."""
    server = bare.server()
    for i in range(18):
        bare.host(f"n{i}", server, ProxyJump=f"n{i + 1}" if i < 17 else None)
    bare.start_daemon()
    result = bare.run("n0", "true")
    assert result.status == 255 and "more than 16 jump hosts" in result.err
    assert server.connections() == 0


def test_jump_host_that_is_for_ssh(jump):
    """What hawser cannot do for a jump host it cannot do for what is behind it."""
    jump.host("j1", jump.sshds["j1"], HostbasedAuthentication="yes")
    result = jump.run("far", "true")
    assert result.status == 255
    assert "for its jump host j1: HostbasedAuthentication" in result.err


# ---- questions -------------------------------------------------------------------------------
def test_questions_of_both_logins(bare):
    """A password at the jump host, a host key at the next: both are asked at the one terminal,
    each in the name of its host, and one client's banner stays its own."""
    servers = chain(bare, 1, j1={"PasswordAuthentication": "yes"})
    password = bare.account.set_password()
    bare.known_hosts.write_text("")
    bare.trust(servers["j1"])
    bare.host("j1", servers["j1"], PreferredAuthentications="password")
    bare.host("far", servers["far"], ProxyJump="j1", StrictHostKeyChecking="ask")
    bare.start_daemon()
    term = bare.spawn("far", "echo in")
    term.expect(rf"{bare.account.name}@127\.0\.0\.1's password: ?")
    silent = bare.popen("far", "echo silent", start_new_session=True)
    term.sendline(password)
    term.expect(rf"The authenticity of host '\[127.0.0.1\]:{servers['far'].port} "
                r"\(<no hostip for proxy command>\)' can't be established")
    term.expect_exact("(yes/no/[fingerprint])? ")
    term.sendline("yes")
    term.expect_exact("in\r\n")
    term.expect(pexpect.EOF)
    out, err = silent.communicate(timeout=20)
    assert (silent.returncode, out, err) == (0, b"silent\n", b"")
    assert set(logins(servers).values()) == {1}


def test_nobody_to_ask(bare):
    """A jump host that wants a password, and no terminal: the jump host is named."""
    servers = chain(bare, 1, j1={"PasswordAuthentication": "yes"})
    bare.host("j1", servers["j1"], PreferredAuthentications="password")
    bare.start_daemon()
    result = bare.run("far", "true", start_new_session=True)
    assert result.status == 255 and "its jump host cannot be used: j1" in result.err, result
    assert "nobody could be asked" in result.err


def test_question_goes_to_who_can_answer(bare):
    """The first to want the jump host has no terminal, through a host behind it; one who has one
    is asked in its place."""
    servers = chain(bare, 1, j1={"PasswordAuthentication": "yes"})
    password = bare.account.set_password()
    bare.host("j1", servers["j1"], PreferredAuthentications="password", NumberOfPasswordPrompts=1)
    bare.start_daemon()
    term = bare.spawn("j1", "echo in")
    term.expect("password: ?")
    silent = bare.popen("far", "echo silent", start_new_session=True)
    wait_for(lambda: "through" in read_text(bare.daemon_log) or len(listed(bare)) == 2, "far")
    term.sendline(password)
    term.expect_exact("in\r\n")
    assert silent.communicate(timeout=20) == (b"silent\n", b"")
    assert set(logins(servers).values()) == {1}


def test_batch_mode_is_each_hosts_own(bare):
    """BatchMode is not passed on to the jump host, as ssh has it; its own configuration counts."""
    servers = chain(bare, 1, j1={"PasswordAuthentication": "yes"})
    password = bare.account.set_password()
    bare.host("j1", servers["j1"], PreferredAuthentications="password")
    bare.start_daemon()
    term = bare.spawn("-o", "BatchMode=yes", "far", "echo in")
    term.expect("password: ?")
    term.sendline(password)
    term.expect_exact("in\r\n")


def test_banner_of_the_jump_host(bare):
    """It reaches the client whose login it was, once."""
    banner = bare.dir / "banner"
    banner.write_text("Welcome to the gate.\n")
    chain(bare, 1, j1={"Banner": str(banner)})
    bare.start_daemon()
    assert bare.run("far", "true").err == "Welcome to the gate.\n"
    assert bare.run("far", "true").err == ""


# ---- holding ---------------------------------------------------------------------------------
def test_jump_host_is_held_as_long_as_what_is_behind_it(bare):
    """A jump host with nothing else to do is not idle while a host is reached through it; closed
    with that one, at the latest when its own time is over."""
    servers = chain(bare, 1)
    bare.host("far", servers["far"], ProxyJump="j1", ControlPersist="4")
    bare.daemon_conf(hold="1")
    bare.start_daemon()
    proc = bare.popen("far", "echo up; cat", stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"up\n"
    wait_for(lambda: float(listed(bare)["far"]["age_s"]) > 2, "some age")
    assert listed(bare)["j1"]["state"] == "ready" and listed(bare)["j1"]["idle_s"] == 0
    proc.communicate(b"", timeout=20)
    assert listed(bare)["j1"]["state"] == "ready"
    wait_for(lambda: listed(bare) == {}, "both closed")
    assert logins(servers) == {"j1": 1, "far": 1}


@pytest.mark.parametrize("words, env", [(("-o", "ControlPersist=no"), {}),
                                        ((), {"HAWSER_HOLD": "0"})])
def test_nothing_held_of_the_way(jump, words, env):
    """Who wants nothing held afterwards finds the jump host as it is now, too."""
    for count in (1, 2):
        assert jump.ok(*words, "far", "echo in", env=env) == "in\n"
        wait_for(lambda: listed(jump) == {}, "nothing held")
        assert logins(jump.sshds) == {"j1": count, "far": count}


def test_close_of_the_jump_host(jump):
    """hawserctl close j1: those behind it go on, and it goes with the last of them."""
    jump.ok("far", "true")
    assert jump.ctl("close", "j1").status == 0
    assert listed(jump)["j1"]["state"] == "draining"
    assert jump.ok("far", "echo in") == "in\n"
    jump.ctl("close", "far")
    wait_for(lambda: listed(jump) == {}, "both closed")
    assert jump.ok("far", "echo in") == "in\n"
    assert logins(jump.sshds) == {"j1": 2, "far": 2}


def test_client_leaves_when_the_jump_host_asks(bare):
    """The only one who could answer is gone: the login on the way ends, and nothing is left."""
    servers = chain(bare, 1, j1={"PasswordAuthentication": "yes"})
    bare.account.set_password()
    bare.host("j1", servers["j1"], PreferredAuthentications="password")
    bare.start_daemon()
    term = bare.spawn("far", "echo in")
    term.expect("password: ?")
    term.close(force=True)
    wait_for(lambda: listed(bare) == {}, "nothing left")
    assert servers["far"].connections() == 0


def test_no_descriptor_is_left(jump):
    """After many ways made and lost, the daemon has what it had."""
    jump.ok("far", "true")
    jump.ctl("close", "far")
    jump.ctl("close", "j1")
    wait_for(lambda: listed(jump) == {}, "nothing held")
    before = len(jump.daemon_fds())
    for _ in range(5):
        jump.ok("far", "true")
        jump.sshds["j1"].cut()
        wait_for(lambda: listed(jump) == {}, "both lost")
    wait_for(lambda: len(jump.daemon_fds()) <= before, f"{before} descriptors")
