"""ssh_config: what it says counts at once; what hawser can't do becomes ssh; errors in clear."""
import os
import re
import socket
import threading

import pytest

from util import free_port, read_text, wait_for

oracle = pytest.mark.oracle


@oracle
@pytest.mark.core
def test_changed_config_is_seen_at_once(warm):
    """The next call after an edit goes where the edited file says."""
    for _ in range(3):
        other = warm.server()
        warm.trust(other)
        warm.host("h", other)
        assert warm.ok("h", "true") == ""
        assert other.sessions() == 1


@oracle
def test_changed_include_is_seen_at_once(warm):
    """The same for included files, also for one that was not there before."""
    other = warm.server()
    warm.trust(other)
    extra = warm.dir / "extra"
    text = read_text(warm.config)
    warm.config.write_text(f"Include {extra}*\n" + text)
    assert warm.ok("h", "true") == "" and other.sessions() == 0
    (warm.dir / "extra1").write_text(f"Host h\n\tPort {other.port}\n")
    assert warm.ok("h", "true") == "" and other.sessions() == 1
    (warm.dir / "extra1").unlink()
    assert warm.ok("h", "true") == "" and other.sessions() == 1


def test_match_exec_is_asked_again(warm):
    """Match exec: its answer may change any time, so it is not kept for long."""
    other = warm.server()
    warm.trust(other)
    flag = warm.dir / "flag"
    text = read_text(warm.config)
    warm.config.write_text(f'Match exec "test -e {flag}"\n\tPort {other.port}\n' + text)
    assert warm.ok("h", "true") == "" and other.sessions() == 0
    flag.write_text("")

    def moved():
        assert warm.ok("h", "true") == ""
        return other.sessions() > 0
    wait_for(moved, "the new answer of Match exec")


@oracle
def test_match_exec_sees_this_clients_environment(warm):
    """Two clients with different environments get different answers."""
    other = warm.server()
    warm.trust(other)
    text = read_text(warm.config)
    warm.config.write_text(f'Match exec "printenv ELSEWHERE >&2"\n\tPort {other.port}\n' + text)
    assert warm.ok("h", "true") == "" and other.sessions() == 0
    assert warm.ok("h", "true", env={"ELSEWHERE": "1"}) == "" and other.sessions() == 1
    assert warm.ok("h", "true") == "" and other.sessions() == 1


@oracle
def test_variables_of_the_client_in_paths(warm):
    """${VAR} in IdentityFile is this client's."""
    warm.host("v", warm.sshd, IdentityFile="${KEYS}/id_user")
    assert warm.ok("v", "echo in", env={"KEYS": str(warm.keys.dir)}) == "in\n"
    result = warm.run("-o", "BatchMode=yes", "v", "echo in", env={"KEYS": "/no.such/dir"})
    assert result.status == 255


@oracle
def test_relative_identity_file(warm):
    """-i with a relative path is looked for in this client's working directory."""
    warm.host("r", warm.sshd, IdentityFile=None, IdentitiesOnly="yes")
    assert warm.ok("-i", "id_user", "r", "echo in", cwd=str(warm.keys.dir)) == "in\n"
    assert warm.run("-i", "id_user", "-o", "BatchMode=yes", "r", "true", cwd="/").status == 255


@oracle
def test_options_on_the_command_line(warm):
    """-p, -o Key=value, -oKey value, ssh://."""
    other = warm.server()
    warm.trust(other)
    for words in (["-p", other.port, "h"], ["-o", f"Port={other.port}", "h"],
                  [f"-oPort {other.port}", "h"], [f"ssh://h:{other.port}"]):
        assert warm.ok(*words, "echo in") == "in\n"
    assert other.sessions() == 4


# ---- errors ----------------------------------------------------------------------------------

def error(box, *words, status=255, env=None, args=("h", "true")):
    result = box.run(*args, env=env, timeout=60)
    assert result.status == status and result.out == b"", result
    for word in words:
        assert re.search(word, result.err), result.err
    return result.err


@oracle
@pytest.mark.core
def test_config_that_is_not_there(box):
    """-F with a missing file: ssh's words."""
    error(box, "Can't open user config file /no.such/dir: No such file",
          args=("-F", "/no.such/dir", "h", "true"))


@oracle
def test_bad_option_in_config(box):
    """An unknown keyword: ssh's words with file and line."""
    text = read_text(box.config)
    box.config.write_text("Bogus yes\n" + text)
    error(box, rf"{box.config}: line 1: Bad configuration option: bogus", "terminating")


@oracle
def test_bad_option_on_the_command_line(box):
    """-o with an unknown keyword, and with a bad value."""
    error(box, "Bad configuration option: bogus", args=("-o", "Bogus=1", "h", "true"))
    error(box, "(?i)port", args=("-o", "Port=99999", "h", "true"))


@oracle
@pytest.mark.core
def test_unknown_host(box):
    """A name that does not resolve: named, 255."""
    error(box, "Could not resolve hostname nosuch.invalid", args=("nosuch.invalid", "true"))


@oracle
@pytest.mark.core
def test_refused_port(box):
    """Nobody listens: address, port and the reason."""
    port = free_port()
    error(box, "127.0.0.1", str(port), "(?i)connection refused", args=("-p", port, "h", "true"))


class Server:
    """A TCP server that does one thing to each connection."""

    def __init__(self, act):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.held = []
        threading.Thread(target=self._serve, args=(act,), daemon=True).start()

    def _serve(self, act):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(connection)
            try:
                act(connection)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.held:
            connection.close()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("name, act, words", [
    ("silence", lambda c: None, r"(?i)time|within"),
    ("close", lambda c: c.close(), r"(?i)clos|reset"),
    ("http", lambda c: (c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), c.close()),
     r"(?i)ssh|banner|protocol|identification"),
    ("old", lambda c: (c.sendall(b"SSH-1.5-old\r\n"),), r"(?i)version|protocol|ssh|time"),
    ("garbage", lambda c: (c.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 5000),), r"(?i)."),
])
def test_not_a_usable_server(box, name, act, words):
    """Servers that are silent, hang up, or are no SSH servers: 255, host and cause, in time."""
    with Server(act) as server:
        box.host("bad", box.sshd, Port=server.port, ConnectTimeout=3)
        err = error(box, words, args=("bad", "true"))
        assert "127.0.0.1" in err or "bad" in err
    assert box.ok("h", "echo on") == "on\n"


@oracle
def test_connect_timeout(box):
    """ConnectTimeout holds for a server that accepts and is silent."""
    with Server(lambda c: None) as server:
        error(box, "(?i)timed? ?out|within", args=("-p", server.port, "-o", "ConnectTimeout=1", "h",
                                                   "true"))


def test_no_common_algorithm(box):
    """Nothing in common: both sides' lists help to see why."""
    strict = box.server(Ciphers="aes256-ctr")
    box.trust(strict)
    box.host("strict", strict)
    error(box, "(?i)no match|common|negotiat", "aes256-ctr", args=("-c", "aes128-gcm@openssh.com",
                                                                  "strict", "true"))


def test_silent_server_holds_up_nobody(box):
    """While one host is silent, another one's calls go on."""
    with Server(lambda c: None) as server:
        box.host("silent", box.sshd, Port=server.port)
        for _ in range(5):
            box.popen("silent", "true")
        wait_for(lambda: server.held, "a connection to the silent server")
        for i in range(5):
            assert box.run("h", f"echo {i}", timeout=10).text == f"{i}\n"


def test_daemon_lives_through_all_of_it(box):
    """After a row of failures it is the same daemon."""
    pid = box.daemon_pid()
    for args in (("nosuch.invalid", "true"), ("-o", "Bogus=1", "h", "true"),
                 ("-p", str(free_port()), "h", "true")):
        assert box.run(*args).status == 255
    assert box.ok("h", "echo on") == "on\n" and box.daemon_pid() == pid


# ---- becoming ssh ----------------------------------------------------------------------------

ALLOWED = {"HAWSER_FALLBACK": None}


@pytest.mark.core
def test_disabled_is_ssh(cold):
    """HAWSER_DISABLE=1: hawser is ssh; no daemon is started."""
    for i in range(2):
        assert cold.ok("h", f"echo {i}", env={"HAWSER_DISABLE": "1"}) == f"{i}\n"
    assert cold.sshd.logins() == 2 and not cold.daemon_pid()


@pytest.mark.core
def test_what_hawser_cannot_do_is_done_by_ssh(warm):
    """A tunnel device is not for hawser: ssh takes over (and fails in its own words)."""
    result = warm.run("-o", "Tunnel=yes", "-o", "ExitOnForwardFailure=no", "h", "echo in",
                      env=ALLOWED)
    assert result.out in (b"in\n", b"") and "hawser" not in result.err
    wait_for(lambda: warm.sshd.logins() == 2, "ssh's own login")


def test_fallback_refused_names_the_option(warm):
    """HAWSER_FALLBACK=no: 255, and the option that hawser can't do is named."""
    result = warm.run("-o", "Tunnel=yes", "h", "true", env={"HAWSER_FALLBACK": "no"})
    assert result.status == 255 and re.search("(?i)tunnel", result.err)
    assert warm.sshd.logins() == 1


def test_fallback_is_said_at_v(warm):
    """-v says that, and why, ssh takes over."""
    result = warm.run("-v", "-o", "Tunnel=yes", "h", "true", env=ALLOWED)
    assert re.search(r"(?i)hawser.*tunnel", result.err)


def test_forward_works_whoever_does_it(warm):
    """-L: natively or by ssh, the forward stands while the command runs."""
    port = free_port()
    proc = warm.popen("-L", f"{port}:127.0.0.1:{warm.sshd.port}", "h", "echo up; exec sleep 6660",
                      env=ALLOWED)
    assert proc.stdout.readline() == b"up\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        assert s.recv(8).startswith(b"SSH-2.0-")


def test_fallback_keeps_stdin_and_status(warm):
    """A request that is handed to ssh has lost nothing on the way."""
    result = warm.run("-o", "Tunnel=yes", "-o", "ExitOnForwardFailure=no", "h", "cat; exit 7",
                      input=b"x" * 100000, env=ALLOWED)
    if warm.sshd.logins() == 2 and result.status != 255:
        assert (result.status, len(result.out)) == (7, 100000)


@pytest.mark.core
def test_proxy_command_works_whoever_does_it(warm):
    """ProxyCommand: a plain relay to the server."""
    relay = warm.dir / "relay.py"
    relay.write_text(
        "import os, select, socket, sys\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    for fd in select.select([0, s], [], [])[0]:\n"
        "        data = os.read(0, 65536) if fd == 0 else s.recv(65536)\n"
        "        if not data:\n"
        "            sys.exit()\n"
        "        s.sendall(data) if fd == 0 else os.write(1, data)\n")
    warm.host("p", warm.sshd, ProxyCommand=f"/usr/bin/python3 {relay} %p")
    assert warm.ok("p", "echo through", env=ALLOWED) == "through\n"


def test_verbose_stays_on_stderr(warm):
    """-v writes to stderr only; -E sends it to a file."""
    result = warm.run("-v", "h", "echo out")
    assert result.out == b"out\n" and result.err
    log = warm.dir / "log"
    result = warm.run("-v", "-E", log, "h", "echo out; echo err >&2")
    assert (result.out, result.err) == (b"out\n", "err\n") and read_text(log)


@oracle
def test_quiet(box):
    """-q: no words of its own, but the remote ones."""
    result = box.run("-q", "h", "echo out; echo err >&2; exit 3")
    assert (result.status, result.out, result.err) == (3, b"out\n", "err\n")
    result = box.run("-q", "-p", str(free_port()), "h", "true")
    assert (result.status, result.err) == (255, "")


def test_home_of_the_user_is_not_touched(warm):
    """With -F nothing of the user's own ~/.ssh is read or written by the daemon."""
    home = os.path.expanduser(f"~{os.environ.get('USER', 'root')}")
    assert f"{home}/.ssh" not in read_text(warm.daemon_log)
