"""Agent forwarding (-A): whose agent is lent to which session, and to no other."""
import os
import subprocess

import pytest

from daemon import BIN
from util import die_with_parent, kill, read_text, wait_for

oracle = pytest.mark.oracle


class Agent:
    """A real agent with a key of its own, at a path of ours."""

    def __init__(self, box, name, key=None):
        self.box, self.socket = box, str(box.dir / name)
        self.key = key or box.keys.make("lent_" + name)
        self.start()

    def start(self):
        self.proc = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket],
                                     stdout=subprocess.DEVNULL, env=self.box.env,
                                     preexec_fn=die_with_parent)
        self.box.clients.append(self.proc)
        self.env = {"SSH_AUTH_SOCK": self.socket}
        wait_for(lambda: subprocess.run(["ssh-add", "-q", str(self.key)], capture_output=True,
                                        env={**self.box.env, **self.env}).returncode == 0,
                 "an agent that takes the key")

    def stop(self):
        kill(self.proc.pid)
        self.proc.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    @property
    def fingerprint(self):
        return self.box.keys.fingerprint(self.key.name)


@oracle
@pytest.mark.core
def test_lists_and_signs(box):
    """hawser -A h ssh-add -l shows the client's agent, again and again; its keys sign there."""
    agent = Agent(box, "one")
    for _ in range(3):
        listed = box.ok("-A", "h", "ssh-add -l", env=agent.env)
        assert agent.fingerprint in listed and listed.count("\n") == 1
    (box.dir / "home/x").write_text("x")
    signed = box.ok("-A", "h", "d=$(mktemp -d); cd $d; ssh-add -L >k.pub; echo x >f;"
                    " ssh-keygen -q -Y sign -n t -f k.pub f; cat f.sig; rm -r $d", env=agent.env)
    assert "BEGIN SSH SIGNATURE" in signed


@oracle
@pytest.mark.core
def test_never_by_accident(box):
    """Without -A, and with -a, there is no agent, also after and beside calls with -A."""
    agent = Agent(box, "one")
    show = "echo \"<$SSH_AUTH_SOCK>\""
    assert box.ok("h", show, env=agent.env) == "<>\n"
    assert box.ok("-A", "h", show, env=agent.env) != "<>\n"
    assert box.ok("h", show, env=agent.env) == "<>\n"
    assert box.ok("-A", "-a", "h", show, env=agent.env) == "<>\n"
    beside = box.popen("-A", "h", "echo up; cat", env=agent.env, stdin=subprocess.PIPE)
    assert beside.stdout.readline() == b"up\n"
    assert box.ok("h", show, env=agent.env) == "<>\n"
    beside.stdin.close()
    assert beside.wait(10) == 0


@oracle
def test_two_agents_at_once(box):
    """Two clients with different agents, at the same time: each remote side sees its own."""
    agents = [Agent(box, "one"), Agent(box, "two")]
    procs = [box.popen("-A", "h", "echo up; read go; ssh-add -l", env=a.env,
                       stdin=subprocess.PIPE) for a in agents]
    for proc in procs:
        assert proc.stdout.readline() == b"up\n"
    for agent, proc in zip(agents, procs):
        out, _ = proc.communicate(b"go\n", timeout=20)
        assert agent.fingerprint.encode() in out and out.count(b"\n") == 1


def test_transports_of_their_own(box):
    """A transport per agent, shared by all requests that forward that agent."""
    agents = [Agent(box, "one"), Agent(box, "two")]
    for _ in range(2):
        for agent in agents:
            box.ok("-A", "h", "true", env=agent.env)
        box.ok("h", "true", env=agents[0].env)
    assert box.sshd.logins() == 3


@oracle
def test_no_agent(box):
    """ForwardAgent without an agent, or with one that is gone: the session is as without."""
    show = "echo \"<$SSH_AUTH_SOCK>\""
    assert box.ok("-A", "h", show, env={"SSH_AUTH_SOCK": None}) == "<>\n"
    gone = str(box.dir / "gone")
    result = box.run("-A", "h", show, env={"SSH_AUTH_SOCK": gone})
    assert result.status == 0 and result.text == "<>\n" and result.err == ""


@oracle
def test_path_and_variable(box):
    """ForwardAgent takes a path, or the name of a variable; IdentityAgent is forwarded by yes."""
    own, other = Agent(box, "one"), Agent(box, "two")
    listed = box.ok("-o", f"ForwardAgent={other.socket}", "h", "ssh-add -l", env=own.env)
    assert other.fingerprint in listed and own.fingerprint not in listed
    env = {**own.env, "MY_AGENT": other.socket}
    result = box.run("-o", "ForwardAgent=$MY_AGENT", "h", "ssh-add -l", env=env)
    assert other.fingerprint in result.text
    listed = box.ok("-A", "-o", f"IdentityAgent={other.socket}", "h", "ssh-add -l", env=own.env)
    assert other.fingerprint in listed and own.fingerprint not in listed


@oracle
def test_path_that_is_not_there(box):
    """ssh's words about a path that does not exist."""
    agent = Agent(box, "one")
    result = box.run("-o", "ForwardAgent=/no.such/dir/agent", "h", "true", env=agent.env)
    assert 'Cannot forward agent socket path "/no.such/dir/agent"' in result.err
    assert result.status == 0


def test_agent_comes_back(box):
    """An agent that is started anew at the same path serves the transport that was made for the
    old one; while it is gone, the remote side is told so at once and the log says why."""
    agent = Agent(box, "one")
    held = box.popen("-A", "h", "echo up; read a; ssh-add -l; read b; ssh-add -l",
                     env=agent.env, stdin=subprocess.PIPE, bufsize=0)
    assert held.stdout.readline() == b"up\n"
    agent.stop()
    held.stdin.write(b"a\n")
    wait_for(lambda: "asked for the forwarded agent" in read_text(box.daemon_log), "the log line")
    agent.start()
    held.stdin.write(b"b\n")
    out, _ = held.communicate(timeout=20)
    assert agent.fingerprint in out.decode()
    assert box.sshd.logins() == 1


@oracle
def test_key_kept_for_destinations(bare):
    """ssh-add -h: the agent is told whom it is lent to, so a key that may go by one host to another
    does, and one that may not does not."""
    first, second = bare.server(HostKeys=["ed25519"]), bare.server(HostKeys=["ecdsa"])
    bare.trust(first, ["ed25519"])
    bare.trust(second, ["ecdsa"])
    bare.host("h", first)
    bare.start_daemon()
    agent = Agent(bare, "one")
    one, two = (f"[127.0.0.1]:{s.port}" for s in (first, second))
    onward = (f"ssh -F none -o IdentityFile=none -o BatchMode=yes -o StrictHostKeyChecking=yes"
              f" -o UserKnownHostsFile={bare.known_hosts} -p {second.port}"
              f" {bare.account.name}@127.0.0.1 echo there")
    for hops, there in (([one, f"{one}>{two}"], True), ([one], False)):
        bare.env.update(agent.env)
        subprocess.run(["ssh-add", "-q", "-D"], env=bare.env, check=True)
        words = [w for hop in hops for w in ("-h", hop)]
        subprocess.run(["ssh-add", "-q", "-H", str(bare.known_hosts), *words,
                        str(bare.keys.user)], env=bare.env, check=True)
        assert (bare.run("-A", "h", onward).text == "there\n") == there


@oracle
def test_changed_host_key(box):
    """StrictHostKeyChecking=no and another host key than is known: nothing is lent."""
    wrong = " ".join(read_text(f"{box.keys.make('host_wrong')}.pub").split()[:2])
    box.known_hosts.write_text(f"[127.0.0.1]:{box.sshd.port} {wrong}\n")
    agent = Agent(box, "one")
    for _ in range(2):
        result = box.run("-A", "-o", "StrictHostKeyChecking=no", "h",
                         "echo \"<$SSH_AUTH_SOCK>\"", env=agent.env)
        assert result.text == "<>\n" and result.status == 0
        assert "Agent forwarding is disabled to avoid man-in-the-middle attacks." in result.err


@oracle
def test_server_that_forbids_it(bare):
    """AllowAgentForwarding no: the session runs, without an agent."""
    server = bare.server(AllowAgentForwarding="no")
    bare.trust(server)
    bare.host("h", server)
    bare.start_daemon()
    agent = Agent(bare, "one")
    assert bare.ok("-A", "h", "echo \"<$SSH_AUTH_SOCK>\"", env=agent.env) == "<>\n"


@pytest.fixture
def grabber(bare):
    """A server that opens channels to agent and display 200 times each, asked or not."""
    key = bare.keys.dir / "host_ed25519"
    server = subprocess.Popen([BIN.parent / "tests/rude_sshd", key, "grab"],
                              stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    bare.clients.append(server)
    port = int(server.stdout.readline())
    bare.known_hosts.write_text(f"[127.0.0.1]:{port} {bare.keys.host_public()}\n")
    bare.hosts["h"] = {"HostName": "127.0.0.1", "Port": port, "User": "any",
                       "IdentityFile": bare.keys.user, "UserKnownHostsFile": bare.known_hosts}
    bare._write_config()
    bare.start_daemon()
    return bare


def test_server_that_grabs(grabber):
    """A server gets no agent and no display that it was not lent."""
    agent = Agent(grabber, "one")
    assert grabber.ok("h", "x", env=agent.env) == "agents 0 displays 0\n"


def test_server_that_grabs_too_much(grabber):
    """One that was lent an agent does not get it without limit, and what is over is taken back."""
    agent = Agent(grabber, "one")
    before = len(grabber.daemon_fds())
    assert grabber.ok("-A", "h", "x", env=agent.env).endswith(" displays 0\n")
    assert "times at once: no more" in read_text(grabber.daemon_log)
    assert grabber.ctl("close", "--force", "h").status == 0
    wait_for(lambda: len(grabber.daemon_fds()) <= before, "the descriptors' end")


def test_descriptors(box):
    """Connections to the agent leave nothing behind in the daemon."""
    agent = Agent(box, "one")
    box.ok("-A", "h", "ssh-add -l", env=agent.env)
    before = len(box.daemon_fds())
    box.ok("-A", "h", "for i in 1 2 3 4 5 6 7 8 9; do ssh-add -l; done", env=agent.env)
    wait_for(lambda: len(box.daemon_fds()) <= before, "the descriptors' end")


@oracle
def test_through_a_jump_host(box):
    """-A goes to the last host, not to those on the way."""
    far = box.server()
    box.trust(far)
    box.host("far", far, ProxyJump="h")
    agent = Agent(box, "one")
    assert agent.fingerprint in box.ok("-A", "far", "ssh-add -l", env=agent.env)
    assert box.ok("h", "echo \"<$SSH_AUTH_SOCK>\"", env=agent.env) == "<>\n"
