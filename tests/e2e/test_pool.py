"""Who shares a transport: single flight, the server's session limit, and what makes another one."""
import json
import re
import threading
import time

import pytest

from util import all_pids, alive, environ_of, wait_for


def many(box, count, *args, timeout=90):
    """Starts count clients at once; returns their (status, stdout) in order."""
    procs = [box.popen(*[str(a).replace("%", str(i)) for a in args]) for i in range(count)]
    results = []
    for proc in procs:
        out, err = proc.communicate(timeout=timeout)
        results.append((proc.returncode, out, err))
    return results


@pytest.mark.core
def test_twenty_cold_clients_make_one_daemon_and_one_login(cold):
    """Twenty clients at once, nothing running: one daemon serves all over one login."""
    results = many(cold, 20, "h", "echo answer %")
    assert [r[:2] for r in results] == [(0, b"answer %d\n" % i) for i in range(20)], results
    assert cold.sshd.logins() <= 3  # MaxSessions 10 and twenty at once: a handful, never twenty
    assert daemons(cold) == 1


def daemons(box):
    """How many hawserd processes belong to this box (by its runtime directory)."""
    tag = b"XDG_RUNTIME_DIR=" + str(box.dir / "run").encode()
    found = 0
    for pid in all_pids():
        try:
            name = open(f"/proc/{pid}/comm").read().strip()
        except OSError:
            continue
        found += name == "hawserd" and alive(pid) and tag in environ_of(pid)
    return found


def test_twenty_cold_clients_one_login_with_room(bare):
    """The same with a server that allows twenty sessions: exactly one login."""
    sshd = bare.server(MaxSessions=50)
    bare.trust(sshd)
    bare.host("h", sshd)
    results = many(bare, 20, "h", "echo answer %")
    assert [r[:2] for r in results] == [(0, b"answer %d\n" % i) for i in range(20)], results
    assert (sshd.logins(), daemons(bare)) == (1, 1)


def test_calls_in_a_row_share_one_login(box):
    """Ten calls, one login, ten sessions."""
    for i in range(10):
        assert box.ok("h", f"echo {i}") == f"{i}\n"
    assert box.sshd.logins() == 1


@pytest.mark.core
def test_sixty_at_once_over_ten_sessions(cold):
    """MaxSessions 10, cold, 60 at once: 60 answers, at most a handful of logins."""
    results = many(cold, 60, "h", "echo answer %; sleep 0.2")
    assert [r[:2] for r in results] == [(0, b"answer %d\n" % i) for i in range(60)], results
    assert cold.sshd.logins() <= 6


def test_session_limit_of_one(bare):
    """MaxSessions 1: warm channels must give way, everybody is served."""
    sshd = bare.server(MaxSessions=1)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    for result in many(bare, 8, "h", "echo answer %; sleep 0.1"):
        assert result[0] == 0 and result[1].startswith(b"answer"), result


def test_a_full_queue_is_told(bare):
    """queue = 2: who finds two waiting is told so at once; the two, and who runs, are served."""
    sshd = bare.server(MaxSessions=1)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.daemon_conf(queue=2, transports=1)
    bare.start_daemon()
    bare.ok("h", "true")
    gate = bare.dir / "gate"
    waiting = f"echo in; while [ ! -e {gate} ]; do sleep 0.05; done"
    first = bare.popen("h", waiting)
    assert first.stdout.readline() == b"in\n"
    others = [bare.popen("h", waiting) for _ in range(2)]
    wait_for(lambda: bare.ctl("--json", "list").text.count('"queued": 2'), "two wait")
    result = bare.run("h", "echo never")
    assert result.status == 255 and result.out == b"" and "wait for it already" in result.err
    gate.write_text("")
    for proc in [first, *others]:
        assert proc.wait(20) == 0


def test_session_limit_leaves_no_noise(cold):
    """Nothing of the limit is seen on the clients' stderr."""
    for status, _, err in many(cold, 25, "h", "sleep 0.3"):
        assert (status, err) == (0, b"")


@pytest.mark.parametrize("options", [
    ["-o", "SendEnv=HW_X"], ["-o", "SetEnv=HW_X=1"], ["-o", "RequestTTY=no"], ["-T"], ["-n"],
    ["-o", "LogLevel=ERROR"], ["-q"], ["-e", "none"], ["-o", "RemoteCommand=none"],
])
def test_session_options_share_the_transport(warm, options):
    """What only a session needs does not make another transport."""
    assert warm.ok(*options, "h", "echo x") == "x\n"
    assert warm.sshd.logins() == 1


@pytest.mark.parametrize("name", ["identity", "known_hosts", "cipher", "strict", "alias", "port",
                                  "identities_only", "compression"])
def test_connection_options_make_another_transport(warm, name):
    """What makes a connection what it is makes another transport, and both are held."""
    other_key = warm.keys.make("id_other")
    with open(warm.sshd.authorized, "a") as f:
        f.write(open(f"{other_key}.pub").read())
    other_hosts = warm.dir / "other_hosts"
    other_hosts.write_text(warm.known_hosts.read_text() + "special " +
                           warm.keys.host_public() + "\n")
    second = warm.server() if name == "port" else None
    if second:
        warm.trust(second)
    options = {
        "identity": ["-o", f"IdentityFile={other_key}"],
        "known_hosts": ["-o", f"UserKnownHostsFile={other_hosts}"],
        "cipher": ["-c", "aes128-ctr"],
        "strict": ["-o", "StrictHostKeyChecking=accept-new"],
        "alias": ["-o", "HostKeyAlias=special", "-o", f"UserKnownHostsFile={other_hosts}"],
        "port": ["-p", second.port if second else 0],
        "identities_only": ["-o", "IdentitiesOnly=yes"],
        "compression": ["-C"],
    }[name]
    assert warm.ok(*options, "h", "echo x") == "x\n"
    logins = warm.sshd.logins() + (second.logins() if second else 0)
    assert logins == 2
    assert warm.ok("h", "echo y") == "y\n" and warm.ok(*options, "h", "echo z") == "z\n"
    assert warm.sshd.logins() + (second.logins() if second else 0) == 2


def test_identity_of_i_is_the_one_used(bare):
    """Two accounts on one git server: -i decides which key logs in, never the held connection."""
    sshd = bare.server()
    bare.trust(sshd)
    bare.host("h", sshd, IdentityFile=None, IdentitiesOnly="yes")
    with open(sshd.authorized, "w") as f:
        for name in ("deploy_a", "deploy_b"):
            public = open(f"{bare.keys.make(name)}.pub").read()
            f.write(f'command="echo {name}" {public}')
    bare.start_daemon()
    for name in ("deploy_a", "deploy_b", "deploy_a"):
        assert bare.ok("-i", bare.keys.dir / name, "h", "true") == f"{name}\n"
    assert sshd.logins() == 2


def test_another_user_is_another_transport(warm):
    """user@ decides the account; a user that may not log in is refused, not served as another."""
    result = warm.run("-o", "BatchMode=yes", "nosuchuser@h", "id -un")
    assert result.status == 255 and "permission denied" in result.err.lower()
    assert warm.ok("h", "id -un") == warm.account.name + "\n"


def test_same_server_by_another_name_and_other_settings(warm):
    """Two Host blocks of the same server: each with its own known-hosts file."""
    empty = warm.dir / "empty_hosts"
    empty.write_text("")
    warm.host("strict", warm.sshd, UserKnownHostsFile=str(empty))
    result = warm.run("-o", "BatchMode=yes", "strict", "echo never")
    assert result.status == 255 and result.out == b""


def test_list_shows_the_transport(warm):
    """hawserctl list names user, host and port, and how many transports there are."""
    lines = warm.ctl("list").text
    assert re.search(rf"{warm.account.name}@127\.0\.0\.1:{warm.sshd.port}", lines)


def test_idle_transport_is_let_go_after_its_hold_time(bare):
    """hold = 1: an idle transport is closed after a second; the next call logs in again."""
    sshd = bare.server()
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.daemon_conf(hold=1)
    bare.start_daemon()
    assert bare.ok("h", "echo one") == "one\n"
    wait_for(lambda: "ready" not in bare.ctl("list").text, "the transport is let go")
    assert bare.ok("h", "echo two") == "two\n"
    assert sshd.logins() == 2


def test_hold_nothing(bare):
    """hold = 0: each call has a login of its own, one, and nothing is held between them."""
    sshd = bare.server()
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.daemon_conf(hold=0)
    bare.start_daemon()
    for number in range(1, 4):
        assert bare.ok("h", f"echo {number}") == f"{number}\n"
        wait_for(lambda: "ready" not in bare.ctl("list").text, "the transport is let go")
    assert sshd.logins() == 3


def test_control_persist_decides_the_hold_time(box):
    """ControlPersist of ssh_config says how long an idle transport is held."""
    box.host("short", box.sshd, ControlPersist="1")
    assert box.ok("short", "echo one") == "one\n"
    wait_for(lambda: "ready" not in box.ctl("list").text, "the transport is let go")


def test_order_of_waiting_requests(bare):
    """Requests that had to wait are served in order."""
    sshd = bare.server(MaxSessions=1)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.daemon_conf(transports=1)
    bare.start_daemon()
    stamp = bare.account.home / "order"
    first = bare.popen("h", f": >{stamp}; echo go; sleep 1")
    assert first.stdout.readline() == b"go\n"
    later = []
    for i in range(4):
        later.append(bare.popen("h", f"echo {i} >>{stamp}"))
        wait_for(lambda: queued(bare) == i + 1, f"{i + 1} requests wait")
    assert [p.wait(60) for p in later] == [0] * 4
    assert stamp.read_text().split() == ["0", "1", "2", "3"]
    stamp.unlink()


def queued(box):
    """How many requests wait, from hawserctl list --json."""
    reply = json.loads(box.ctl("list", "--json").text)
    items = reply["items"] if isinstance(reply, dict) else reply
    return sum(item.get("queued", 0) for item in items)


def test_no_login_for_a_lane(cold):
    """A terminal beside a copy has a connection of its own, unless the server is slow to let it
    in."""
    cold.start_daemon()
    copy = cold.popen("h", "cat /dev/zero")
    copy.stdout.read(8 << 20)
    with cold.sshd.stopped():
        reader = threading.Thread(target=drain, args=(copy.stdout,), daemon=True)
        reader.start()
        begun = time.monotonic()
        term = cold.spawn("-t", "h", "echo be''side")
        term.expect("beside", timeout=20)
        assert time.monotonic() - begun < 8
    assert cold.sshd.logins() == 1
    copy.terminate()
    copy.wait(20)
    reader.join(20)


def drain(pipe):
    while pipe.read(1 << 20):
        pass
