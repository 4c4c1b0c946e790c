"""Trust with an end: hawserctl lock and unlock, the maximum age of a connection, the end of the
certificate that opened it."""
import json
import subprocess
import time

import pytest

from daemon import HAWSER
from test_certificates import certify, private
from util import free_port, read_text, wait_for

LOCKED = "hawser is locked"


def transports(box):
    return json.loads(box.ctl("list", "--json").text)["items"]


def running(box, *words):
    """A command that runs until its stdin is closed."""
    proc = box.popen(*words, "h", "echo begun; read x; echo ended", stdin=subprocess.PIPE)
    assert proc.stdout.readline() == b"begun\n"
    return proc


def ends(proc):
    """It was left alone, and ends by itself."""
    proc.stdin.write(b"go\n")
    proc.stdin.close()
    return proc.stdout.read() == b"ended\n" and proc.wait(20) == 0


def draining(box):
    return [t for t in transports(box) if t["state"] == "draining"]


# ---- lock ------------------------------------------------------------------------------------
@pytest.mark.core
def test_lock_closes_all_and_refuses(warm):
    """lock ends what runs, with its reason; nothing new gets in until unlock."""
    proc = running(warm)
    assert warm.ctl("lock").status == 0
    assert proc.wait(20) == 255 and LOCKED.encode() in proc.stderr.read()
    wait_for(lambda: not warm.sshd.workers(), "all connections are closed")
    refused = warm.run("h", "echo no")
    assert refused.status == 255 and LOCKED in refused.err and "hawserctl unlock" in refused.err
    assert warm.sshd.connections() == 1
    assert "locked" in warm.ctl("list").text
    assert json.loads(warm.ctl("status", "--json").text)["items"][0]["locked"] is True
    assert warm.ctl("unlock").status == 0
    assert warm.ok("h", "echo again") == "again\n"
    assert json.loads(warm.ctl("status", "--json").text)["items"][0]["locked"] is False


def test_lock_ends_forwards(warm):
    """A client that holds nothing but a forward ends too, and its port with it."""
    port = free_port()
    proc = warm.popen("-N", "-L", f"127.0.0.1:{port}:127.0.0.1:1", "h")
    wait_for(lambda: transports(warm)[0]["idle_s"] == 0 and listening(port), "the forward")
    assert warm.ctl("lock").status == 0
    assert proc.wait(20) == 255 and not listening(port)


def listening(port):
    needle = f":{port:04X} 00000000:0000 0A"
    return needle in read_text("/proc/net/tcp")


def test_lock_drain_lets_what_runs_end(warm):
    """lock --drain cuts nothing and takes nothing new."""
    proc = running(warm)
    assert warm.ctl("lock", "--drain").status == 0
    assert LOCKED in warm.run("h", "true").err
    assert len(draining(warm)) == 1
    assert ends(proc)
    wait_for(lambda: not warm.sshd.workers(), "closed when the last has ended")


def test_lock_during_a_login(cold):
    """A login that is under way ends, and who waits for it hears why."""
    silent = cold.server(LoginGraceTime="60")
    # The server's process is stopped: its banner does not come.
    cold.host("slow", silent)
    cold.start_daemon()
    silent.proc.send_signal(19)
    try:
        proc = cold.popen("slow", "true")
        wait_for(lambda: any(t["queued"] for t in transports(cold)), "the login is under way")
        assert cold.ctl("lock").status == 0
        assert proc.wait(20) == 255 and LOCKED.encode() in proc.stderr.read()
        wait_for(lambda: not transports(cold), "the login is given up")
    finally:
        silent.proc.send_signal(18)


def test_lock_outlives_the_daemon(warm):
    """The next daemon finds it locked, and so does one that unlock has not told."""
    assert warm.ctl("lock").status == 0 and warm.ctl("stop").status == 0
    refused = warm.run("h", "true")
    assert refused.status == 255 and LOCKED in refused.err and warm.sshd.connections() == 1
    assert warm.ctl("stop").status == 0 and warm.ctl("unlock").status == 0
    assert warm.ok("h", "echo again") == "again\n"


def test_lock_without_a_daemon(cold):
    """It can be locked while nothing runs; the daemon that a client starts keeps to it."""
    assert cold.ctl("lock").status == 0 and not cold.daemon_pid()
    assert LOCKED in cold.run("h", "true").err
    assert cold.ctl("unlock").status == 0 and cold.ok("h", "echo in") == "in\n"


def test_locked_does_not_become_ssh(warm):
    """What only ssh could do is not handed to it either; its words about itself are."""
    assert warm.ctl("lock").status == 0
    done = subprocess.run([HAWSER, "-F", str(warm.config), "-w", "0:0", "h", "true"],
                          env=warm.environment({"HAWSER_FALLBACK": "yes"}), capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 255 and LOCKED.encode() in done.stderr
    version = subprocess.run([HAWSER, "-V"], env=warm.environment({"HAWSER_FALLBACK": "yes"}),
                             capture_output=True, timeout=60)
    assert version.returncode == 0 and b"OpenSSH" in version.stderr


# ---- maximum age -----------------------------------------------------------------------------
def test_max_age_replaces_an_idle_connection(cold):
    """At max-age an idle connection goes; the next request opens a new one."""
    cold.daemon_conf(max_age=1)
    cold.start_daemon()
    assert cold.ok("h", "echo one") == "one\n"
    wait_for(lambda: not cold.sshd.workers(), "it is closed")
    assert "max-age" in read_text(cold.daemon_log)
    assert cold.ok("h", "echo two") == "two\n" and cold.sshd.logins() == 2


def test_max_age_cuts_nothing(cold):
    """What runs goes on; what is new gets a connection of its own."""
    cold.daemon_conf(max_age=1)
    cold.start_daemon()
    proc = running(cold)
    wait_for(lambda: draining(cold), "it takes no new sessions")
    assert cold.ok("h", "echo new") == "new\n" and cold.sshd.logins() == 2
    assert ends(proc)
    wait_for(lambda: not draining(cold), "closed when the last has ended")


# ---- the certificate's end -------------------------------------------------------------------
def test_connection_ends_with_its_certificate(bare):
    """When the certificate runs out the connection takes no new sessions; what runs goes on; the
    next command logs in anew, and fails until there is a new certificate."""
    bare.ca = bare.keys.make("user_ca")
    bare.sshd = bare.server(TrustedUserCAKeys=f"{bare.ca}.pub")
    bare.sshd.authorized.write_text("")
    bare.trust(bare.sshd)
    bare.start_daemon()
    key = private(bare, "id")
    end = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + 4))
    certify(bare, key, "-V", f"20200101:{end}")
    bare.host("h", bare.sshd, IdentityFile=str(key))
    proc = running(bare)
    wait_for(lambda: draining(bare), "it takes no new sessions")
    assert 'certificate "id"' in read_text(bare.daemon_log)
    assert bare.run("h", "true").status == 255
    assert ends(proc)
    wait_for(lambda: not bare.sshd.workers(), "closed when the last has ended")
    certify(bare, key)
    assert bare.ok("h", "echo in") == "in\n"


SKEW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += 7200;
	return r;
}
"""


def test_certificate_that_only_we_call_expired(bare):
    """This machine's clock is ahead: the server takes the certificate, and so do we, once."""
    (bare.dir / "skew.c").write_text(SKEW)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", bare.dir / "skew.so", bare.dir / "skew.c"],
                   check=True)
    ca = bare.keys.make("user_ca")
    bare.sshd = bare.server(TrustedUserCAKeys=f"{ca}.pub")
    bare.ca = ca
    bare.sshd.authorized.write_text("")
    bare.trust(bare.sshd)
    key = private(bare, "id")
    certify(bare, key, "-V", "-1m:+1h")
    bare.host("h", bare.sshd, IdentityFile=str(key))
    options = bare.env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    bare.start_daemon(env={**bare.env, "LD_PRELOAD": str(bare.dir / "skew.so"),
                           "ASAN_OPTIONS": options})
    for _ in range(2):
        assert bare.ok("h", "echo in") == "in\n"
    assert bare.sshd.logins() == 1
    assert "has expired by this machine's clock" in read_text(bare.daemon_log)


def test_waiting_while_locked(bare):
    """What would come back waits for unlock, and that is listed."""
    (bare.dir / "conf/hawser").mkdir()
    (bare.dir / "conf/hawser/hawser.conf").write_text("[host h]\nkeep = yes\n")
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    bare.start_daemon()
    bare.ok("h", "true")
    bare.sshd.stop()
    wait_for(lambda: "waiting" in bare.ctl("list").text, "the wait")
    bare.ctl("lock")
    wait_for(lambda: "hawserctl unlock" in bare.ctl("list").text, "what it waits for now")
