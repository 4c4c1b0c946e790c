"""ProxyCommand and ProxyUseFdpass: what it is run with, how it ends, and hawser behind hawser."""
import ctypes
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from daemon import HAWSER
from util import (SLOW, alive, children, environ_of, free_port, kill, pattern, read_text, sha,
                  wait_for)

oracle = pytest.mark.oracle
PIDFD_GETFD = 438

RELAY = """
import os, select, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for line in sys.argv[2:]:
    print(line, file=sys.stderr, flush=True)
while True:
    for fd in select.select([0, s], [], [])[0]:
        try:
            data = os.read(0, 65536) if fd == 0 else s.recv(65536)
        except ConnectionResetError:
            data = b""  # a killed server's last word may be either
        if not data:
            sys.exit(3 if sys.argv[-1] == "fail" else 0)
        if fd == 0:
            s.sendall(data)
        while fd != 0 and data:
            data = data[os.write(1, data):]
"""
PASSER = """
import array, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
out = socket.socket(fileno=1)
fds = array.array("i", [s.fileno()] * int(sys.argv[2]))
out.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
"""


@pytest.fixture
def relay(box):
    """The command line of a relay to port %p, in front of which words may stand."""
    (box.dir / "relay.py").write_text(RELAY)
    (box.dir / "passer.py").write_text(PASSER)
    box.relay = f"/usr/bin/python3 {box.dir}/relay.py %p"
    return box


def proxied(box, command, name="p", **options):
    """Another host name for the box's server, behind that command."""
    return box.host(name, box.sshd, ProxyCommand=command, **options)


def running(box):
    """The daemon's child processes."""
    return children(box.daemon_pid())


# ---- what it is run with ---------------------------------------------------------------------
@pytest.mark.core
def test_held_behind_a_command(relay):
    """One command and one login for many requests; hawserctl says how it is reached."""
    proxied(relay, relay.relay)
    for i in range(4):
        assert relay.ok("p", f"echo {i}") == f"{i}\n"
    assert relay.sshd.logins() == 1 and len(running(relay)) == 1
    assert '"via": "ProxyCommand"' in relay.ctl("list", "--json").out.decode()
    relay.ctl("close", "p")
    wait_for(lambda: running(relay) == [], "the command's end")


@oracle
def test_run_as_ssh_runs_it(relay):
    """By $SHELL -c "exec ...", in the directory and with the environment of who asked, with ssh's
    tokens and the shell's own."""
    shell = relay.dir / "shell"
    shell.write_text('#!/bin/sh\necho "$0 $1 $2" >"$OUT"; pwd >>"$OUT"; exec /bin/sh "$@"\n')
    shell.chmod(0o755)
    where = relay.dir / "where"
    where.mkdir()
    proxied(relay, f"{relay.relay} \"$SAY ${{SAY}} %h %n %r 100%% $PPID\" '$SAY' 2>>$OUT")
    out = relay.dir / "out"
    assert relay.ok("p", "echo in", cwd=where, env={"SHELL": shell, "OUT": out,
                                                    "SAY": "some words"}) == "in\n"
    lines = read_text(out).splitlines()
    assert lines[0].startswith(f"{shell} -c exec /usr/bin/python3 ") and lines[1] == str(where)
    assert re.fullmatch(rf"some words some words 127.0.0.1 p {relay.account.name} 100% \d+",
                        lines[2])
    assert lines[3] == "$SAY"


def test_nothing_of_the_daemon_in_it(relay):
    """No descriptor but the three, a session of its own, no blocked or ignored signal, and not the
    daemon's environment."""
    proxied(relay, relay.relay)
    relay.ok("p", "true", env={"ONLY_MINE": "1"})
    pid, = running(relay)
    assert sorted(os.listdir(f"/proc/{pid}/fd"))[:3] == ["0", "1", "2"]
    assert len(os.listdir(f"/proc/{pid}/fd")) == 4, "and its own connection"
    assert os.getsid(pid) == pid and b"ONLY_MINE=1" in environ_of(pid)
    status = read_text(f"/proc/{pid}/status")
    assert re.search(r"SigBlk:\s+0+$", status, re.M)
    ignored = int(re.search(r"^SigIgn:\s+(\S+)$", status, re.M)[1], 16)
    by_others = (signal.SIGPIPE, signal.SIGXFSZ, 32, 33)  # python, and posix_spawn(3) itself
    assert ignored & ~sum(1 << number - 1 for number in by_others) == 0


def test_bash_reads_no_bashrc_for_it(relay):
    """bash takes a socket as stdin for a remote shell's and would read ~/.bashrc."""
    (relay.dir / "home/.bashrc").write_text("echo noise\n")
    proxied(relay, relay.relay)
    for level in (None, "0"):
        assert relay.ok("p", "echo in", env={"SHELL": "/bin/bash", "SHLVL": level}) == "in\n"
        relay.ctl("close", "p", "--force")


def test_own_transport_for_another_command(relay):
    """Another command, or another value of a variable that it names, is another way."""
    proxied(relay, relay.relay + " ${WAY:-x} 2>/dev/null")
    relay.ok("p", "true")
    relay.ok("p", "true", env={"OTHER": "1"})
    assert relay.sshd.logins() == 1
    relay.ok("p", "true", env={"WAY": "left"})
    assert relay.sshd.logins() == 2
    relay.ok("-o", f"ProxyCommand={relay.relay}", "p", "true")
    assert relay.sshd.logins() == 3


def test_descriptor_passed(relay):
    """ProxyUseFdpass: the command passes a connected socket and is gone; nothing is left of it."""
    proxied(relay, f"/usr/bin/python3 {relay.dir}/passer.py %p 1", ProxyUseFdpass="yes")
    data = pattern(4 << 20)
    assert sha(relay.run("p", "cat", input=data).out) == sha(data)
    wait_for(lambda: running(relay) == [], "the command's end")
    assert relay.ok("p", "echo in") == "in\n" and relay.sshd.logins() == 1


def test_one_descriptor_is_kept(relay):
    """A command that passes more than it should leaves nothing more behind."""
    proxied(relay, f"/usr/bin/python3 {relay.dir}/passer.py %p 2", ProxyUseFdpass="yes")
    relay.ok("h", "true")
    before = len(relay.daemon_fds())
    for _ in range(3):
        assert relay.ok("p", "echo in") == "in\n"
        relay.ctl("close", "p")
        wait_for(lambda: running(relay) == [], "the command's end")
    wait_for(lambda: len(relay.daemon_fds()) <= before, f"{before} descriptors", 5)


def test_bytes_come_through(relay):
    """Both ways at once through a command, unharmed."""
    proxied(relay, relay.relay)
    data = pattern(16 << 20)
    assert sha(relay.run("p", "cat", input=data).out) == sha(data)


# ---- its words -------------------------------------------------------------------------------
def test_its_stderr_reaches_who_asked(relay):
    """While it logs in: byte for byte, to that client only; later lines go to the log."""
    proxied(relay, f"{relay.relay} 'some  words' 'and more'")
    assert relay.run("p", "true").err == "some  words\nand more\n"
    assert relay.run("p", "true").err == ""


def test_its_stderr_is_bounded(relay):
    """A command that floods its stderr costs nobody memory, and does not stop the login."""
    proxied(relay, "sh -c 'head -c 50000000 /dev/zero | tr \"\\\\0\" x >&2; exec " + relay.relay +
            "'", ConnectTimeout="60")
    result = relay.run("p", "echo in")
    assert result.out == b"in\n" and 1000 < len(result.err) < 200000
    assert relay.daemon_rss() < 60000 * SLOW


# ---- how it ends -----------------------------------------------------------------------------
@pytest.mark.core
@pytest.mark.parametrize("command, words", [
    ("no-such-program %h", "exit status 127"),
    ("sh -c 'echo first; echo the last; exit 7' >&2", 'exit status 7.*said last: "the last"'),
    ("sh -c 'kill -9 $$'", "killed by signal 9"),
    ("true", "exit status 0 before a server"),
    ("sh -c 'exec >&-; exec <&-; sleep 6663 2>&-'", "closed its output before"),
])
def test_command_that_fails(relay, command, words):
    """255, its exit status, its last line, what it was, and the next step; nothing is left."""
    proxied(relay, command)
    result = relay.run("p", "true")
    assert result.status == 255 and re.search(f"p: its ProxyCommand .*{words}", result.err), result
    assert "try it by hand" in result.err
    wait_for(lambda: running(relay) == [], "its end")
    proxied(relay, relay.relay)
    assert relay.ok("p", "echo in") == "in\n"


def test_shell_that_is_not_there(relay):
    """The cause names it."""
    proxied(relay, relay.relay)
    result = relay.run("p", "true", env={"SHELL": "/no/such/shell"})
    assert result.status == 255 and "/no/such/shell: No such file" in result.err, result


def test_command_that_talks_nonsense(relay):
    """What it said in place of a server is shown."""
    proxied(relay, "sh -c 'echo HTTP/1.1 403 Forbidden; exec sleep 6664'", ConnectTimeout="2")
    result = relay.run("p", "true")
    assert result.status == 255 and "HTTP/1.1 403 Forbidden" in result.err, result
    wait_for(lambda: running(relay) == [], "its end")


def test_command_that_hangs(relay):
    """ConnectTimeout covers it, and it is ended then, with all of its group."""
    proxied(relay, "sh -c 'sleep 6665 | sleep 6666'", ConnectTimeout="1")
    begin = time.monotonic()
    result = relay.run("p", "true")
    assert result.status == 255 and "within 1 s (ConnectTimeout)" in result.err, result
    assert time.monotonic() - begin < 5 * SLOW
    wait_for(lambda: running(relay) == [], "its end")


def test_command_that_ignores_the_hangup(relay):
    """It is killed a second later."""
    proxied(relay, "sh -c 'trap \"\" HUP; exec " + relay.relay + "'")
    relay.ok("p", "true")
    pid, = running(relay)
    os.kill(pid, signal.SIGSTOP)
    relay.ctl("close", "p", "--force")
    wait_for(lambda: not alive(pid), "its end")
    wait_for(lambda: running(relay) == [], "being reaped")


def test_command_dies_under_a_session(relay):
    """The cause has its exit status; the next request starts another."""
    proxied(relay, relay.relay)
    proc = relay.popen("p", "echo up; exec sleep 6667")
    assert proc.stdout.readline() == b"up\n"
    pid, = running(relay)
    kill(pid, signal.SIGTERM)
    err = proc.communicate(timeout=20)[1].decode()
    assert proc.returncode == 255 and "its ProxyCommand was killed by signal 15" in err, err
    assert relay.ok("p", "echo in") == "in\n" and relay.sshd.logins() == 2


def test_server_dies_behind_it(relay):
    """A command that ends well after the server is not blamed for it."""
    proxied(relay, relay.relay)
    proc = relay.popen("p", "echo up; exec sleep 6668")
    assert proc.stdout.readline() == b"up\n"
    relay.sshd.cut()
    err = proc.communicate(timeout=20)[1].decode()
    assert "closed the connection" in err and "through ProxyCommand" in err, err


@pytest.mark.parametrize("front", ["", "trap \"\" HUP; "])
def test_stop_of_the_daemon_ends_it(relay, front):
    """No command outlives its daemon, not even one that ignores the hangup."""
    proxied(relay, f"sh -c '{front}exec {relay.relay}'")
    relay.ok("p", "true")
    pid, = running(relay)
    relay.ctl("stop")
    wait_for(lambda: not alive(pid), "its end")


def test_daemon_started_with_sigchld_ignored(cold):
    """Ignored, the kernel would reap the daemon's children, and their status be lost."""
    proxied(cold, "sh -c 'exit 7'")
    result = cold.run("p", "true",
                      preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert result.status == 255 and "exit status 7" in result.err, result


# ---- hawser behind hawser ---------------------------------------------------------------------
@pytest.mark.parametrize("name", ["hawser", "ssh"])
def test_hawser_as_its_own_proxy(relay, name):
    """ProxyCommand hawser -W, also under the name of ssh: one more client, no deadlock, even where
    one login at a time is all that is allowed; the jump host is logged in to once."""
    (relay.dir / "bin").mkdir()
    (relay.dir / "bin" / name).symlink_to(HAWSER)
    relay.ctl("stop")
    wait_for(lambda: not relay.daemon_pid(), "the daemon's end")
    relay.daemon_conf(logins="1")
    relay.start_daemon()
    gate = relay.server()
    relay.trust(gate)
    relay.host("gate", gate)
    for i in range(6):
        proxied(relay, f"{relay.dir}/bin/{name} -F {relay.config} -W %h:%p gate # %n", f"p{i}")
    procs = [relay.popen(f"p{i % 6}", f"echo {i}", env={"HAWSER_SSH": "/usr/bin/ssh"})
             for i in range(12)]
    for i, proc in enumerate(procs):
        out, err = proc.communicate(timeout=60 * SLOW)
        assert (proc.returncode, out, err) == (0, b"%d\n" % i, b"")
    assert (gate.logins(), relay.sshd.logins()) == (1, 6)


def with_match_exec(box, match, command):
    """The box's configuration with a Match exec in front; without it as ssh_config.plain."""
    text = box.config.read_text()
    (box.dir / "ssh_config.plain").write_text(text)
    box.config.write_text(f'Match {match} exec "{command}"\n\tHostName 127.0.0.1\n'
                          + text.replace("Host h\n", "Host m*\n"))


def test_hawser_in_match_exec(relay):
    """Match exec with a call of hawser, in more resolutions than may run at once: what they wait
    for does not wait for them."""
    with_match_exec(relay, "originalhost m*",
                    f"{HAWSER} -F {relay.dir}/ssh_config.plain -o SetEnv=HW_N=%n h true")
    procs = [relay.popen(f"m{i}", f"echo {i}") for i in range(40)]
    for i, proc in enumerate(procs):
        out, err = proc.communicate(timeout=25 * SLOW)
        assert (proc.returncode, out) == (0, b"%d\n" % i), err


def test_match_exec_that_leads_to_itself(relay):
    """hawser in a Match exec that is met again by that call: ended, in words."""
    with_match_exec(relay, "host m*", f"{HAWSER} -F {relay.config} m1 true 2>>{relay.dir}/words")
    relay.run("m1", "true", timeout=25)
    assert "Match exec leads to itself" in read_text(relay.dir / "words")


def test_command_that_leads_to_itself(relay):
    """hawser -W through the host it is the way to: ends at once, in words."""
    proxied(relay, f"{HAWSER} -F {relay.config} -W %h:%p p")
    begin = time.monotonic()
    result = relay.run("p", "true")
    assert result.status == 255 and "leads to itself" in result.err, result
    assert time.monotonic() - begin < 10 * SLOW
    wait_for(lambda: running(relay) == [], "its end")


# ---- other words of the way --------------------------------------------------------------------
def test_bound_addresses(warm):
    """-b with a name, -B with an interface; ssh's own words where it cannot be."""
    assert warm.ok("-b", "localhost", "h", "echo $SSH_CLIENT").startswith("127.0.0.1 ")
    assert warm.ok("-B", "lo", "h", "echo $SSH_CLIENT").startswith("127.0.0.1 ")
    assert warm.ok("-b", "127.0.0.9", "h", "echo $SSH_CLIENT").startswith("127.0.0.9 ")
    for words in (("-b", "192.0.2.1"), ("-b", "no-such-name.invalid"), ("-B", "no-such-if")):
        result = warm.run(*words, "h", "true")
        assert result.status == 255 and words[1] in result.err, result


def test_connection_attempts(cold):
    """ConnectionAttempts: tried again after a second, and no longer than it says."""
    cold.start_daemon()
    port = free_port()
    begin = time.monotonic()
    result = cold.run("-p", str(port), "-o", "ConnectionAttempts=2", "h", "true")
    assert result.status == 255 and "refused" in result.err
    assert 1 <= time.monotonic() - begin < 4 * SLOW


@pytest.mark.parametrize("words, keepalive, tos", [
    (("-o", "IPQoS=af41 cs1"), 1, 0x20),  # no terminal is on the connection
    (("-o", "TCPKeepAlive=no", "-o", "IPQoS=af41 ef"), 0, 0xb8)])
def test_socket_options(box, words, keepalive, tos):
    """TCPKeepAlive and IPQoS are on the socket to the server."""
    box.ok(*words, "h", "true")
    pid = box.daemon_pid()
    libc = ctypes.CDLL(None, use_errno=True)
    held = os.pidfd_open(pid)
    found = []
    for number, target in box.daemon_fds().items():
        if not target.startswith("socket:"):
            continue
        fd = libc.syscall(PIDFD_GETFD, held, number, 0)
        if fd < 0:
            continue  # closed meanwhile: a login's
        with socket.socket(fileno=fd) as s:
            if s.family == socket.AF_INET and s.getpeername()[1] == box.sshd.port:
                found.append((s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                              s.getsockopt(socket.IPPROTO_IP, socket.IP_TOS)))
    os.close(held)
    assert found and set(found) == {(keepalive, tos)}


def test_address_family(warm):
    """-6 where there is only 127.0.0.1: no connection; -4 with a name that has both."""
    result = warm.run("-6", "-o", "HostName=127.0.0.1", "h", "true")
    assert result.status == 255 and "127.0.0.1" in result.err, result
    assert warm.ok("-4", "-o", "HostName=localhost", "-o", "HostKeyAlias=gate", "-o",
                   "StrictHostKeyChecking=accept-new", "h", "echo $SSH_CLIENT").startswith("127.")


def test_canonicalized_name(bare):
    """CanonicalizeHostname: as ssh -G has it, with the options of the name that it finds. In a
    mount namespace with names of its own."""
    bare.sshd = bare.server()
    hosts = bare.dir / "hosts"
    hosts.write_text("127.0.0.1 localhost web.corp.test. web.corp.test\n")
    bare.host("web.corp.test", bare.sshd, HostName=None, SetEnv="HW_FROM=canonical",
              StrictHostKeyChecking="accept-new")
    bare.host("*", bare.sshd, HostName=None, CanonicalizeHostname="yes",
              CanonicalDomains="corp.test", StrictHostKeyChecking="accept-new")
    words = " ".join(bare.command("web", "'echo $HW_FROM'"))
    done = subprocess.run(["unshare", "-m", "sh", "-c",
                           f"mount --bind {hosts} /etc/hosts && exec {words}"],
                          env=bare.env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "canonical\n", done
    assert f"@web.corp.test:{bare.sshd.port}" in bare.ctl("list").out.decode()
