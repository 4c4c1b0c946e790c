"""The daemon's life: how it starts, how it ends, and what its clients see when something dies."""
import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from daemon import HAWSERD, python
from util import (alive, children, cpu_seconds, environ_of, free_port, holds_for, kill, read_text,
                  stat_fields, wait_for)


def long_run(box, *options, marker="5551", **popen):
    """A client whose remote command runs on; returns once it does."""
    proc = box.popen(*options, "h", f"echo begun; exec sleep {marker}", **popen)
    assert proc.stdout.readline() == b"begun\n"
    return proc


def failed(proc, *words):
    """The client ends with 255 and a sentence that holds these words."""
    out, err = proc.communicate(timeout=60)
    err = err.decode()
    assert proc.returncode == 255, (proc.returncode, err)
    for word in words:
        assert re.search(word, err, re.I), err
    return err


# ---- start -----------------------------------------------------------------------------------

@pytest.mark.core
def test_first_client_starts_the_daemon(cold):
    """No daemon: the first call starts one, the second finds it."""
    assert cold.ok("h", "echo one") == "one\n"
    pid = cold.daemon_pid()
    assert pid and cold.ok("h", "echo two") == "two\n"
    assert cold.daemon_pid() == pid and cold.sshd.logins() == 1


@pytest.mark.core
def test_started_daemon_keeps_no_pipe_open(cold):
    """`hawser h true 2>&1 | cat` returns at once, although it has just started a daemon."""
    script = "%s h true 2>&1 | cat" % " ".join(cold.command())
    done = subprocess.run(["bash", "-c", script], env=cold.env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert cold.daemon_pid()


def test_started_daemon_holds_none_of_the_callers_descriptors(cold):
    """Pipes and files that the caller has open beyond 0 to 2 are not inherited either."""
    read_end, write_end = os.pipe()
    assert cold.run("h", "true", pass_fds=[write_end]).status == 0
    os.close(write_end)
    fcntl.fcntl(read_end, fcntl.F_SETFL, os.O_NONBLOCK)
    assert os.read(read_end, 1) == b""  # end of file: nobody else has the other end
    os.close(read_end)


def test_started_daemon_is_detached(cold):
    """Its own session, no terminal, working directory /: the starter's may go."""
    term = cold.spawn("h", "echo in")
    term.expect_exact("in\r\n")
    pid = cold.daemon_pid()
    fields = stat_fields(pid)
    assert int(fields[3]) == pid or int(fields[3]) != os.getsid(0)  # session
    assert int(fields[4]) == 0  # controlling terminal
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    term.close(force=True)
    holds_for(lambda: alive(pid), 0.2, "the daemon died with the terminal")


def test_socket_is_private(box):
    """Directory 0700, socket 0600."""
    assert stat.S_IMODE(os.stat(box.socket.parent).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(box.socket).st_mode) == 0o600


def test_second_daemon_gives_way(box):
    """A second daemon on the same socket says so and ends; the first one serves on."""
    pid = box.daemon_pid()
    done = subprocess.run([HAWSERD], env=box.env, capture_output=True, text=True, timeout=20)
    assert done.stderr or done.returncode == 0
    assert box.daemon_pid() == pid and box.ok("h", "echo on") == "on\n"


def test_ready_fd(bare):
    """--ready-fd: a byte, then end of file, once clients may connect."""
    read_end, write_end = os.pipe()
    proc = subprocess.Popen([HAWSERD, "--ready-fd", str(write_end)], env=bare.env,
                            pass_fds=[write_end], stdin=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    bare.daemons.append(proc)
    os.close(write_end)
    assert os.read(read_end, 10) == b"1"
    assert bare.daemon_pid() == proc.pid
    assert os.read(read_end, 10) == b""
    os.close(read_end)


def test_daemon_that_cannot_start_is_told(cold):
    """No hawserd where it should be: a sentence and 255 (HAWSER_FALLBACK=no)."""
    result = cold.run("h", "true", env={"HAWSER_DAEMON": "/no.such/dir/hawserd"})
    assert result.status == 255 and "/no.such/dir/hawserd" in result.err


def test_daemon_that_cannot_start_makes_it_ssh(cold):
    """The same with the fallback allowed: ssh does the work, and it is said once."""
    result = cold.run("h", "echo in", env={"HAWSER_DAEMON": "/no.such/dir/hawserd",
                                           "HAWSER_FALLBACK": None})
    assert result.text == "in\n" and "/no.such/dir/hawserd" in result.err


def test_bad_settings_are_told_with_file_and_line(cold):
    """hawser.conf with a bad line: the first client tells which."""
    cold.daemon_conf(hold="1", linger="never")
    result = cold.run("h", "true")
    assert result.status == 255 and re.search(r"hawser\.conf:2", result.err)


# ---- places ----------------------------------------------------------------------------------

def test_runtime_directory_that_is_not_there(cold):
    """XDG_RUNTIME_DIR that does not exist: a sentence that names it."""
    result = cold.run("h", "true", env={"XDG_RUNTIME_DIR": str(cold.dir / "gone")})
    assert result.status == 255 and str(cold.dir / "gone") in result.err


def test_socket_directory_that_others_may_enter(cold):
    """A socket directory with mode 0755 is not trusted."""
    (cold.dir / "run/hawser").mkdir()
    (cold.dir / "run/hawser").chmod(0o755)
    result = cold.run("h", "true")
    assert result.status == 255 and str(cold.dir / "run/hawser") in result.err


def test_socket_directory_that_is_a_link(cold):
    """A symbolic link in the directory's place is not followed."""
    (cold.dir / "elsewhere").mkdir(mode=0o700)
    (cold.dir / "run/hawser").symlink_to(cold.dir / "elsewhere")
    result = cold.run("h", "true")
    assert result.status == 255 and str(cold.dir / "run/hawser") in result.err


def test_socket_path_that_is_too_long(cold):
    """A path that does not fit a socket's name: a sentence that names the variable."""
    deep = cold.dir / "run" / ("d" * 100)
    deep.mkdir(mode=0o700)
    result = cold.run("h", "true", env={"XDG_RUNTIME_DIR": str(deep)})
    assert result.status == 255 and "XDG_RUNTIME_DIR" in result.err


def test_hawser_socket_names_another_place(cold):
    """HAWSER_SOCKET wins over XDG_RUNTIME_DIR."""
    (cold.dir / "own").mkdir(mode=0o700)
    cold.env["HAWSER_SOCKET"] = str(cold.dir / "own/s")
    assert cold.ok("h", "echo in") == "in\n"
    assert cold.daemon_pid() and not cold.socket.exists()


def test_dead_socket_is_replaced(cold):
    """A socket file that nobody listens on is no obstacle."""
    cold.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(cold.socket))
    assert cold.ok("h", "echo in") == "in\n"


def test_file_in_the_sockets_place(cold):
    """A regular file in the socket's place: told, and not removed."""
    cold.socket.parent.mkdir(mode=0o700)
    cold.socket.write_text("mine")
    result = cold.run("h", "true")
    assert result.status == 255 and "v1.sock" in result.err
    assert cold.socket.read_text() == "mine"
    cold.socket.unlink()


def test_socket_activation(cold):
    """A listening socket handed over as systemd does it (LISTEN_FDS) is served and kept."""
    cold.socket.parent.mkdir(mode=0o700)
    launcher = ("import os, socket, sys\n"
                "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(64)\n"
                "if s.fileno() != 3: os.dup2(s.fileno(), 3)\n"
                "os.set_inheritable(3, True)\n"
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
                "os.execv(sys.argv[2], [sys.argv[2], '--log-level', 'debug'])\n")
    with open(cold.daemon_log, "ab") as log:
        proc = subprocess.Popen(python("-c", launcher, str(cold.socket), HAWSERD), env=cold.env,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    cold.daemons.append(proc)
    wait_for(cold.daemon_pid, "the activated daemon")
    assert cold.daemon_pid() == proc.pid
    assert cold.ok("h", "echo in") == "in\n" and cold.sshd.sessions() == 1
    assert cold.daemon_pid() == proc.pid
    environment = environ_of(proc.pid)
    assert environment  # still ours to read, and the daemon did not pass LISTEN_FDS on to ssh -G
    proc.send_signal(signal.SIGTERM)
    assert proc.wait(20) == 0
    assert cold.socket.exists()  # it is systemd's to remove


# ---- the daemon dies -------------------------------------------------------------------------

@pytest.mark.core
def test_killed_daemon_is_replaced(cold):
    """kill -9 of the daemon: the next client starts another one and is served."""
    assert cold.ok("h", "echo one") == "one\n"
    pid = cold.daemon_pid()
    kill(pid)
    wait_for(lambda: not alive(pid), "the daemon's death")
    assert cold.ok("h", "echo two") == "two\n"
    assert cold.daemon_pid() not in (0, pid) and cold.sshd.logins() == 2


@pytest.mark.core
def test_daemon_killed_under_running_clients(warm):
    """kill -9 while clients run: each ends with 255 and a sentence, its remote command ends."""
    warm.judge_exit = False
    procs = [long_run(warm, marker=f"555{i}") for i in range(3)]
    kill(warm.daemon_pid())
    for proc in procs:
        failed(proc, "hawserd|daemon")
    wait_for(lambda: not warm.sshd.workers(), "the server sees the end")


def test_daemon_killed_under_a_waiting_login(cold):
    """kill -9 while a client waits for a login."""
    cold.judge_exit = False
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cold.host("silent", cold.sshd, Port=silent.getsockname()[1])
        cold.start_daemon()
        proc = cold.popen("silent", "true")
        connection, _ = silent.accept()
        kill(cold.daemon_pid())
        failed(proc, "hawserd|daemon")
        connection.close()


def test_daemon_killed_under_a_terminal(warm):
    """kill -9 while a shell is open: the terminal is restored, 255, a sentence."""
    warm.judge_exit = False
    shell = warm.shell()
    shell.sendline("$H -t h 'echo begun; sleep 5559'; echo status=$?")
    shell.expect_exact("begun\r\n")
    kill(warm.daemon_pid())
    shell.expect(r"status=(\d+)")
    assert shell.match[1] == b"255" and re.search(rb"hawserd|daemon", shell.before)
    shell.sendline("stty -a | grep -c ' echo '")
    shell.expect_exact("1\r\n")


@pytest.mark.core
def test_stopped_daemon_is_reported_in_bounded_time(warm):
    """SIGSTOP: a new client says that the daemon does not answer, and ends with 255. What it says
    to do about that helps.

    Its stdout is no pipe: one that is on its way to the daemon stays open as long as that stands
    still, and whoever reads it would wait."""
    pid = warm.daemon_pid()
    warm.judge_exit = False
    kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with open(warm.dir / "err", "wb") as err:
            done = warm.run("h", "true", timeout=60, stdout=subprocess.DEVNULL, stderr=err)
        assert done.status == 255 and "hawserd" in read_text(warm.dir / "err")
        assert time.monotonic() - begin < 30
        [words] = re.findall(r"end it with `(.*)`", read_text(warm.dir / "err"))
        subprocess.run(words.split(), check=True)
        warm.daemon.wait(20)
    finally:
        kill(pid, signal.SIGKILL)
    assert warm.ok("h", "echo on") == "on\n"


# ---- orderly stop ----------------------------------------------------------------------------

def test_stop_leaves_nothing(warm):
    """SIGTERM: status 0, the socket is gone, no process is left."""
    pid = warm.daemon_pid()
    below = children(pid)
    kill(pid, signal.SIGTERM)
    assert warm.daemon.wait(20) == 0
    assert not warm.socket.exists() and not any(alive(p) for p in below)
    wait_for(lambda: not warm.sshd.workers(), "the end of the connection at the server")


def test_stop_drains(bare):
    """A session that ends within the drain time ends as if nothing had been."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.daemon_conf(drain=20)
    bare.start_daemon()
    proc = bare.popen("h", "echo begun; read x; echo ended; exit 3", stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    kill(bare.daemon.pid, signal.SIGTERM)
    wait_for(lambda: not bare.socket.exists() or bare.daemon_pid() != bare.daemon.pid,
             "the stopping daemon takes no more clients")
    proc.stdin.write(b"go\n")
    proc.stdin.close()
    assert proc.stdout.read() == b"ended\n" and proc.wait(20) == 3
    assert bare.daemon.wait(20) == 0


def test_stop_has_a_deadline(bare):
    """A session that does not end is closed after the drain time, with its cause told."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.daemon_conf(drain=1)
    bare.start_daemon()
    proc = long_run(bare)
    kill(bare.daemon.pid, signal.SIGTERM)
    failed(proc, "stop")
    assert bare.daemon.wait(20) == 0


def test_stop_does_not_wait_for_a_reader_that_never_reads(bare):
    """A stalled client does not hold up the end beyond the drain time."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.daemon_conf(drain=1)
    bare.start_daemon()
    bare.popen("h", "yes")
    wait_for(lambda: bare.sshd.remote_processes("yes"), "the remote yes")
    kill(bare.daemon.pid, signal.SIGTERM)
    assert bare.daemon.wait(20) == 0


def test_client_that_comes_while_it_stops_is_served(bare):
    """A new client does not fail because the old daemon is still draining."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.daemon_conf(drain=20)
    bare.start_daemon()
    old = bare.popen("h", "echo begun; read x", stdin=subprocess.PIPE)
    assert old.stdout.readline() == b"begun\n"
    kill(bare.daemon.pid, signal.SIGTERM)
    wait_for(lambda: not bare.socket.exists() or bare.daemon_pid() != bare.daemon.pid,
             "the stopping daemon takes no more clients")
    assert bare.ok("h", "echo new") == "new\n"
    old.stdin.close()
    assert old.wait(20) == 1 and bare.daemon.wait(20) == 0


def test_leaves_when_idle(cold):
    """With nothing held for its linger time the daemon ends, and the next client starts one."""
    cold.daemon_conf(hold=1, linger=1)
    assert cold.ok("h", "echo one") == "one\n"
    pid = cold.daemon_pid()
    wait_for(lambda: not alive(pid), "the idle daemon's end", 30)
    assert not cold.socket.exists()
    assert cold.ok("h", "echo two") == "two\n"


def test_stays_while_a_session_runs(bare):
    """A running session keeps the daemon, however quiet it is."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.daemon_conf(hold=1, linger=1)
    bare.start_daemon()
    proc = long_run(bare)
    holds_for(lambda: bare.daemon.poll() is None, 3, "the daemon left a running session")
    assert proc.poll() is None


def test_log_level_changes_while_it_runs(warm):
    """hawserctl loglevel changes what is logged from then on."""
    assert warm.ctl("loglevel", "error").status == 0
    wait_for(lambda: warm.ok("h", "true") == "", "a call")
    size = os.path.getsize(warm.daemon_log)
    warm.ok("h", "true")
    assert os.path.getsize(warm.daemon_log) == size
    assert warm.ctl("loglevel", "debug").status == 0
    warm.ok("h", "true")
    assert os.path.getsize(warm.daemon_log) > size


# ---- the server dies -------------------------------------------------------------------------

@pytest.mark.core
def test_server_killed_in_mid_stream(warm):
    """The connection's sshd is killed: what came so far is delivered, then 255 and the cause."""
    proc = warm.popen("h", "echo begun; exec sleep 5558")
    assert proc.stdout.readline() == b"begun\n"
    warm.sshd.cut()
    err = failed(proc, "127.0.0.1|h")
    assert "closed" in err or "reset" in err or "lost" in err


def test_server_killed_during_a_download(warm):
    """The same while data flows: a true prefix of the data, 255."""
    proc = warm.popen("h", "seq 100000000")
    assert proc.stdout.read(1000).startswith(b"1\n2\n")
    warm.sshd.cut()
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 255 and err


def test_all_clients_of_a_lost_transport_are_told(warm):
    """Five clients on one transport, five times 255 with a cause."""
    procs = [long_run(warm, marker=f"556{i}") for i in range(5)]
    warm.sshd.cut()
    for proc in procs:
        failed(proc, "127.0.0.1|h")


@pytest.mark.core
def test_call_after_a_lost_transport(warm):
    """A transport that died while idle is replaced without a word."""
    warm.sshd.cut()
    wait_for(lambda: not warm.sshd.workers(), "the end of its sshd")
    result = warm.run("h", "echo again")
    assert (result.status, result.out) == (0, b"again\n"), result
    assert warm.sshd.logins() == 2


def test_server_gone_for_good(warm):
    """No server any more: the next call says that the connection was refused."""
    warm.sshd.stop()
    wait_for(lambda: "ready" not in warm.ctl("list").text, "the daemon has seen the end")
    result = warm.run("h", "true")
    assert result.status == 255 and "refused" in result.err
    assert str(warm.sshd.port) in result.err


def test_server_restarts(warm):
    """After a restart on the same port the next call works."""
    warm.sshd.stop()
    warm.sshd.start()
    assert warm.ok("h", "echo again") == "again\n"


# ---- clients die -----------------------------------------------------------------------------

def settled(box):
    """No session runs or waits: from hawserctl list --json."""
    reply = json.loads(box.ctl("list", "--json").text)
    items = reply["items"] if isinstance(reply, dict) else reply
    return all(i.get("sessions", 0) == 0 and i.get("queued", 0) == 0 for i in items)


def kinds(fds):
    """How many descriptors of each kind (numbers of pipes and sockets differ)."""
    counts = {}
    for target in fds.values():
        kind = target.split(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def descriptors_back(box, before):
    """Waits until the daemon has the descriptors that it had."""
    try:
        wait_for(lambda: kinds(box.daemon_fds()) == before, "descriptors as before")
    except AssertionError as late:
        raise AssertionError(f"{late}: {before}, but {box.daemon_fds()}") from late


@pytest.mark.core
@pytest.mark.parametrize("phase", ["running", "output", "input", "stalled", "terminal", "files"])
def test_client_killed(warm, phase):
    """kill -9 of a client in each phase: its channel closes, no descriptor stays in the daemon."""
    warm.ok("h", "true")
    before = kinds(warm.daemon_fds())
    for _ in range(3):
        if phase == "running":
            victim = long_run(warm)
        elif phase == "output":
            victim = warm.popen("h", "while :; do echo 55577; done")
            victim.stdout.readline()
        elif phase == "input":
            victim = warm.popen("h", "while echo 55577; do sleep 0.1; done",
                                stdin=subprocess.PIPE)
            os.set_blocking(victim.stdin.fileno(), False)
            wait_for(lambda: not fill(victim.stdin.fileno()), "input backs up")
        elif phase == "stalled":
            victim = warm.popen("h", "exec yes 55577")
            wait_for(lambda: warm.sshd.remote_processes("55577"), "the remote yes")
        elif phase == "terminal":
            victim = warm.spawn("-t", "h", "echo begun; exec sleep 55577")
            victim.expect_exact("begun")
        else:
            with open(warm.dir / "out", "wb") as out, open("/dev/zero", "rb") as zero:
                victim = warm.popen("h", "while echo 55577; do sleep 0.1; done", stdin=zero,
                                    stdout=out)
            wait_for(lambda: warm.sshd.remote_processes("55577"), "the remote command")
        kill(victim.pid)
        victim.wait()
    wait_for(lambda: not warm.sshd.remote_processes("5557"), "the remote commands' end")
    wait_for(lambda: settled(warm), "no session in the daemon")
    for proc in warm.clients:
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
    descriptors_back(warm, before)
    assert warm.ok("h", "echo on") == "on\n" and warm.sshd.logins() == 1


def fill(fd):
    """Writes until the pipe is full; True when something went in."""
    try:
        return os.write(fd, b"x" * 65536)
    except BlockingIOError:
        return 0


def test_client_killed_while_connecting(cold):
    """Clients that die while their login runs: nothing leaks."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cold.host("silent", cold.sshd, Port=silent.getsockname()[1])
        cold.start_daemon()
        assert cold.run("-p", free_port(), "h", "true").status == 255  # what is made once is made
        before = kinds(cold.daemon_fds())
        for _ in range(5):
            proc = cold.popen("silent", "true")
            connection, _ = silent.accept()
            kill(proc.pid)
            proc.wait()
            connection.close()
            wait_for(lambda: not json.loads(cold.ctl("list", "--json").text)["items"],
                     "the failed transport is gone")
    descriptors_back(cold, before)
    assert cold.ok("h", "echo on") == "on\n"


def test_client_killed_right_after_its_start(warm):
    """Clients that die at any moment of their first milliseconds."""
    before = kinds(warm.daemon_fds())
    for turn in range(30):
        proc = warm.popen("h", "cat; : 55566", stdin=subprocess.PIPE)
        end = time.monotonic() + turn * 0.0005
        while time.monotonic() < end:
            pass
        kill(proc.pid)
        proc.wait()
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            stream.close()
    wait_for(lambda: settled(warm) and not warm.sshd.remote_processes("55566"), "all is over")
    descriptors_back(warm, before)
    assert warm.ok("h", "echo on") == "on\n"


def test_hundred_calls_leak_nothing(warm):
    """After a hundred calls of many kinds the daemon has the descriptors that it had."""
    warm.ok("h", "true")
    before = kinds(warm.daemon_fds())

    def some():
        for i in range(25):
            warm.run("h", f"exit {i % 3}", input=b"x" * i)
    threads = [threading.Thread(target=some) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    descriptors_back(warm, before)
    assert not [p for p in children(warm.daemon_pid()) if stat_fields(p)[0] == "Z"]


def test_daemon_is_quiet_when_idle(warm):
    """Ten thousandths of a second of CPU at most in a second of nothing to do."""
    pid = warm.daemon_pid()
    wait_for(lambda: settled(warm), "no session in the daemon")
    begin = cpu_seconds(pid)
    holds_for(lambda: alive(pid), 1.0, "the daemon lives")
    assert cpu_seconds(pid) - begin <= 0.05


def test_no_temporary_files_are_left(cold):
    """Nothing but the socket and its lock in the runtime directory, nothing in /tmp."""
    cold.ok("h", "true")
    names = {p.name for p in (cold.dir / "run/hawser").iterdir()}
    assert all(n.startswith("v1.sock") for n in names), names
    assert not list((cold.dir / "tmp").iterdir())
