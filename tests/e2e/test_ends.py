"""How requests end when something else ends at the same time: transports, logins, servers."""
import os
import signal
import subprocess

import pytest

from daemon import BIN
from util import read_text, state, wait_for


def begun(box, *options, **popen):
    """A client whose remote command runs on; returns once it does."""
    proc = box.popen(*options, "h", "echo begun; exec sleep 5552", **popen)
    assert proc.stdout.readline() == b"begun\n"
    return proc


def queued(box):
    """How many requests wait, by hawserctl."""
    return box.ctl("list").out.decode().split("\n")[1].split()[4]


def test_login_that_fails_beside_a_closing_transport(warm):
    """Closed while a session runs, and the server takes no more: told once, not tried for ever."""
    begun(warm)
    assert warm.ctl("close", "h").status == 0
    warm.sshd.stop(cut=False)
    result = warm.run("h", "true")
    assert result.status == 255 and "Connection refused" in result.err
    assert read_text(warm.daemon_log).count("connect to 127.0.0.1: Connection refused") == 1


def test_waiter_behind_the_limit_is_served_by_a_later_login(bare):
    """A further transport failed to open; half a minute later the one who waits gets another."""
    sshd = bare.server(MaxSessions=1)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    begun(bare)
    sshd.stop(cut=False)
    waiting = bare.popen("h", "echo served")
    wait_for(lambda: queued(bare) == "1", "the request in the queue")
    sshd.start()
    assert waiting.communicate(timeout=60)[0] == b"served\n"


def test_exit_status_just_before_the_connection_ends(warm):
    """Output, status and the end of the connection are read in one go: the status counts."""
    go = warm.dir / "go"
    proc = warm.popen(
        "h", f"echo begun; until test -e {go}; do sleep 0.05; done; echo last; exit 7")
    assert proc.stdout.readline() == b"begun\n"
    pid = warm.daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: state(pid) == "T", "the stopped daemon")
        go.touch()
        wait_for(lambda: not warm.sshd.remote_processes("until test"), "the command's end")
        wait_for(lambda: len(warm.sshd.workers()) <= 2, "sshd's word about it")
        warm.sshd.cut()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert proc.communicate(timeout=20) == (b"last\n", b"") and proc.returncode == 7


@pytest.mark.parametrize("size", [3, 100_000, 10_000_000])
def test_output_onto_a_full_disk(warm, size):
    """What could not be written is told and is no success."""
    with open("/dev/full", "wb") as full:
        result = subprocess.run(warm.command("h", f"head -c {size} /dev/zero"), stdout=full,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=warm.env,
                                timeout=60)
    assert result.returncode == 255
    assert b"output of the command on h was lost: No space left on device" in result.stderr


def test_output_onto_a_full_file(warm):
    """The same with a regular file that may not grow."""
    script = "ulimit -f 64; trap '' XFSZ; exec %s h 'head -c 1000000 /dev/zero'"
    with open(warm.dir / "file", "wb") as out:
        result = subprocess.run(["bash", "-c", script % " ".join(warm.command())], stdout=out,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=warm.env,
                                timeout=60)
    assert result.returncode == 255 and b"File too large" in result.stderr, result


def test_server_that_ends_each_connection_after_the_login(bare):
    """A request that was never sent moves to the next transport, but not for ever."""
    sshd = bare.server(ChrootDirectory="/does-not-exist")
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    result = bare.run("h", "true")
    assert result.status == 255 and "connection" in result.err, result
    # At most eight while it waits for one, each of the three times that it got one.
    assert 0 < sshd.logins() <= 32


@pytest.mark.parametrize("options,words", [
    (["-T", "h", "true"], "it is not known whether the command ran"),
    (["-tt", "h", "true"], "closed the session without an answer"),
    (["-o", "SetEnv=HW_X=1", "h", "true"], "closed the session without an answer"),
])
def test_server_that_closes_without_an_answer(bare, options, words):
    """A request that the server drops with its channel ends; nobody waits for the answer."""
    key = bare.keys.dir / "host_ed25519"
    rude = subprocess.Popen([BIN.parent / "tests/rude_sshd", key], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    bare.clients.append(rude)
    port = int(rude.stdout.readline())
    bare.known_hosts.write_text(f"[127.0.0.1]:{port} {bare.keys.host_public()}\n")
    bare.hosts["h"] = {"HostName": "127.0.0.1", "Port": port, "User": "any",
                       "IdentityFile": bare.keys.user, "UserKnownHostsFile": bare.known_hosts}
    bare._write_config()
    bare.start_daemon()
    result = bare.run(*options, timeout=15)
    assert result.status == 255 and words in result.err, result


def test_interrupted_question_goes_to_the_next(bare):
    """Who gives up at a question ends alone: another who waits is asked."""
    sshd = bare.server()
    bare.trust(sshd)
    key = bare.keys.make("id_asked", passphrase="correct")
    with open(sshd.authorized, "a") as f:
        f.write(read_text(f"{key}.pub"))
    bare.host("h", sshd, IdentityFile=key, IdentitiesOnly="yes")
    bare.start_daemon()
    asked = bare.dir / "asked"
    first = bare.popen("h", "true", env=asking(bare, f"touch {asked}; exec sleep 77"))
    wait_for(asked.exists, "the first one's question")
    second = bare.popen("h", "echo served", env=asking(bare, "echo correct"))
    wait_for(lambda: queued(bare) == "2", "two who wait")
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == -signal.SIGTERM
    assert second.communicate(timeout=20) == (b"served\n", b"")


def asking(box, script):
    """An environment whose SSH_ASKPASS is this script."""
    path = box.dir / f"ask{len(list(box.dir.glob('ask*.sh')))}.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return {"SSH_ASKPASS": path, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":9"}


def test_queue_is_bounded(bare):
    """More requests than may wait: the last are told, the others served."""
    bare.daemon_conf(queue=2, transports=1)
    sshd = bare.server(MaxSessions=1)
    bare.trust(sshd)
    bare.host("h", sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    running = begun(bare)
    waiting = [bare.popen("h", "echo served") for _ in range(2)]
    wait_for(lambda: queued(bare) == "2", "a full queue")
    late = bare.run("h", "echo served")
    assert late.status == 255 and "2 requests wait for it already" in late.err
    running.kill()
    assert [w.communicate(timeout=20)[0] for w in waiting] == [b"served\n"] * 2


def test_clients_that_share_an_output_file(warm):
    """Several clients of one shell write to one file: nobody overwrites the others."""
    script = "i=0; while [ $i -lt 20000 ]; do echo 123456789; i=$((i+1)); done"
    path = warm.dir / "shared"
    for _ in range(4):
        with open(path, "wb") as out:
            clients = [warm.popen("h", script, stdout=out) for _ in range(6)]
            assert [client.wait(60) for client in clients] == [0] * 6
        assert path.stat().st_size == 6 * 200000
