"""hawserctl doctor in front of servers that mean harm, and in odd surroundings."""
import shutil
import signal
import subprocess

import pytest

from causes import Speaker
from daemon import HAWSERCTL
from doctoring import doctor, findings, kexinit, path_of, prepare
from forwarding import Server
from util import alive, children, wait_for, words_of


@pytest.fixture
def bench(bare):
    return prepare(bare)


def test_words_without_end(bench):
    """A server that never ends its line: doctor does."""
    def talk(peer):
        while True:
            peer.sendall(b"x" * 65536)
    with Server(talk) as server:
        bench.host("endless", server)
        status, verdict, _ = doctor(bench, "endless")
    assert status == 1 and "no SSH server" in verdict and "xxx" in verdict


def test_names_that_steer(bench):
    """Neither a server's names of algorithms nor its last words reach the terminal as they are."""
    def talk(peer):
        peer.sendall(b"SSH-2.0-x\r\n" + kexinit(b"\x1b]0;owned\x07\xc2\x9b2J\x9b"))
        peer.recv(4096)
    speaker = Speaker(b"HTTP/1.1 \xc2\x9b31m red \x9b32m \xff\r\n")
    bench.host("web", speaker)
    bench.start_daemon()
    assert b"\xc2\x9b" not in bench.run("web", "true").err.encode()
    with Server(talk) as server:
        bench.host("evil", server)
        for name in "evil", "web":
            out = bench.ctl("doctor", "-F", str(bench.config), name, env=path_of(bench)).out
            shown = out.decode()  # it is UTF-8
            assert not any(c < " " and c != "\n" or "\x7f" <= c < "\xa0" for c in shown), out
    assert "\x9b" not in bench.daemon_log.read_bytes().decode()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_ends_with_its_children(bench, sig):
    """What ends doctor ends the login that it tries."""
    bench.start_daemon()
    bench.host("slow", bench.sshd, ProxyCommand="sleep 4447")
    with subprocess.Popen([HAWSERCTL, "doctor", "-F", str(bench.config), "slow"],
                          env=bench.environment(path_of(bench)), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asked:
        login = wait_for(lambda: [p for p in children(asked.pid) if " -N " in words_of(p)],
                         "the login of doctor", 30)[0]
        asked.send_signal(sig)
        asked.wait()
    wait_for(lambda: not alive(login), "the login ends too", 5)


def test_without_descriptors(bench):
    """Where no program can be run, that is said."""
    shell = f"ulimit -n 4; exec {HAWSERCTL} doctor -F {bench.config} h"
    done = subprocess.run(["/bin/sh", "-c", shell], env=bench.environment(path_of(bench)),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1 and b"could not be run" in done.stdout, done


def test_hawser_beside_hawserctl(bench):
    """hawser is found without PATH; where it is not there at all, that is said."""
    assert findings(doctor(bench, "h", env={"PATH": bench.env["PATH"]})[2], "login") == ["ok"]
    alone = shutil.copy(HAWSERCTL, bench.dir)
    done = subprocess.run([alone, "doctor", "-F", str(bench.config), "h"], env=bench.env,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"h: login: not tried: hawser is not found" in done.stdout
    assert b"what to do: install hawser" in done.stdout


def test_environment_of_the_login(bench):
    """The login is hawser's own where hawser is switched off, and nobody else's status."""
    told = bench.dir / "status"
    with open(told, "wb") as out:
        env = {**path_of(bench), "HAWSER_DISABLE": "1", "HAWSER_STATUS_FD": str(out.fileno())}
        done = subprocess.run([HAWSERCTL, "--json", "doctor", "-F", str(bench.config), "h"],
                              env=bench.environment(env), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, check=False,
                              pass_fds=[out.fileno()])
    assert done.returncode == 0 and b"HAWSER_DISABLE is set" in done.stdout, done
    assert told.read_bytes() == b""
