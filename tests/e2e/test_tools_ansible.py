"""Ansible with ansible_ssh_executable: modules, playbooks, become, 20 hosts; one login per host."""
import json
import shutil

import pytest

from daemon import ORACLE
from toolbox import Sudo, Tools, sudo_problem

pytestmark = [pytest.mark.oracle,
              pytest.mark.skipif(not shutil.which("ansible"), reason="ansible is not installed")]

HOSTS = 20

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ping:
    - copy:
        src: {here}/local file
        dest: {far}/copied
        mode: "0640"
    - template:
        src: {here}/template.j2
        dest: {far}/made
      vars: {{ greeting: hello }}
    - fetch:
        src: {far}/copied
        dest: {here}/fetched
        flat: true
"""

BECOME = """
- hosts: all
  gather_facts: false
  tasks:
    - command: id -u
      register: plain
    - command: id -u
      become: true
      register: root
    - assert:
        that: plain.stdout == '{uid}' and root.stdout == '0'
"""


class Ansible:
    """ansible and ansible-playbook with an inventory and a configuration of their own."""

    def __init__(self, tools, hosts):
        self.tools = tools
        (tools.dir / "hosts").write_text("\n".join(hosts) + "\n")
        (tools.dir / "ansible.cfg").write_text("[defaults]\n")
        self.env = {
            "ANSIBLE_CONFIG": tools.dir / "ansible.cfg", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_INVENTORY": tools.dir / "hosts", "ANSIBLE_SSH_EXECUTABLE": tools.wrapper,
            "ANSIBLE_HOME": tools.dir / "home/.ansible", "ANSIBLE_LOCAL_TEMP": tools.dir / "tmp",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": tools.dir / "cp", "ANSIBLE_SSH_RETRIES": "0",
            "ANSIBLE_REMOTE_TEMP": tools.far / "tmp",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        }

    def module(self, name, *words, **env):
        """{host: answer} of one module on all hosts."""
        out = self.tools.run("ansible", "all", "-m", name, "-o", *words, env={**self.env, **env})
        found = {}
        for line in out.splitlines():
            host, _, said = line.partition(" | ")
            found[host] = said
        return found

    def play(self, book, **env):
        """Runs a playbook; every host's every task must be done."""
        path = self.tools.dir / "book.yml"
        path.write_text(book)
        out = self.tools.run("ansible-playbook", path, env={**self.env, **env})
        assert "unreachable=0" in out and "failed=0" in out, out


@pytest.fixture
def ansible(tools):
    return Ansible(tools, ["h"])


# How Ansible moves its modules: through the session's stdin; or as files by sftp, by scp, by dd.
WAYS = {
    "pipelining": {"ANSIBLE_PIPELINING": "1"},
    "sftp": {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_TRANSFER_METHOD": "sftp",
             "ANSIBLE_SFTP_EXTRA_ARGS": "-S {wrapper}"},
    "scp": {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_TRANSFER_METHOD": "scp",
            "ANSIBLE_SCP_EXTRA_ARGS": "-S {wrapper}"},
    "piped": {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_TRANSFER_METHOD": "piped"},
}


def settings(tools, way):
    return {key: value.format(wrapper=tools.wrapper) for key, value in WAYS[way].items()}


@pytest.mark.parametrize("way", [pytest.param("pipelining", marks=pytest.mark.core),
                                 "sftp", "scp", "piped"])
def test_ansible_playbook(tools, ansible, way):
    """ping, copy, template, fetch, with and without pipelining; one login."""
    text = "a local file,\nwith two lines\n" * 3000
    (tools.dir / "local file").write_text(text)
    (tools.dir / "template.j2").write_text("{{ greeting }} {{ inventory_hostname }}\n")
    ansible.play(PLAYBOOK.format(here=tools.dir, far=tools.far), **settings(tools, way))
    assert (tools.dir / "fetched").read_text() == (tools.far / "copied").read_text() == text
    assert (tools.far / "copied").stat().st_mode & 0o777 == 0o640
    assert (tools.far / "made").read_text() == "hello h\n"
    tools.one_login()


@pytest.mark.skipif(bool(sudo_problem()), reason=str(sudo_problem()))
@pytest.mark.parametrize("way", ["pipelining", "piped"])
def test_ansible_become(tools, ansible, way):
    """become by sudo: with a terminal where modules are files, without one where they are piped."""
    sudo = Sudo(tools.box.account)
    try:
        ansible.play(BECOME.format(uid=tools.box.account.uid), **settings(tools, way))
    finally:
        sudo.close()
    tools.one_login()


def test_ansible_failures(tools):
    """A command that fails is not an unreachable host; one that is has ssh's 255 and its words."""
    ansible = Ansible(tools, ["h", "gone"])
    done = tools.attempt("ansible", "h", "-m", "raw", "-a", "exit 7", env=ansible.env)
    assert done.returncode == 2 and "FAILED | rc=7" in done.stdout, done
    tools.box.host("gone", tools.sshd, Port=1)
    done = tools.attempt("ansible", "gone", "-m", "ping", env=ansible.env)
    assert done.returncode == 4 and "UNREACHABLE!" in done.stdout, done
    assert "Connection refused" in done.stdout
    tools.one_login()


@pytest.fixture
def farm(bare):
    """Twenty hosts: one sshd on every address of 127/8."""
    bare.sshd = bare.server(ListenAddress="0.0.0.0 rdomain lo")
    with open(bare.known_hosts, "a") as f:
        f.write(f"farm {bare.keys.host_public()}\n")
    names = [bare.host(f"n{i}", bare.sshd, HostName=f"127.0.3.{i}", HostKeyAlias="farm")
             for i in range(1, HOSTS + 1)]
    bare.start_daemon()
    return names


def test_ansible_farm(bare, farm):
    """20 hosts with -f 20: a raw command, then a module; one login for each host."""
    tools = Tools(bare)
    try:
        ansible = Ansible(tools, farm)
        said = ansible.module("raw", "-a", "echo $SSH_CONNECTION", "-f", str(HOSTS))
        assert sorted(said) == sorted(farm)
        assert all(f"127.0.3.{name[1:]} {bare.sshd.port}" in said[name] for name in farm)
        said = ansible.module("ping", "-f", str(HOSTS), ANSIBLE_PIPELINING="1")
        assert sorted(said) == sorted(farm)
        assert all(json.loads(text.partition(" => ")[2])["ping"] == "pong"
                   for text in said.values())
        by_address = bare.sshd.logins_by_address()
        assert sorted(by_address) == sorted(f"127.0.3.{name[1:]}" for name in farm)
        assert ORACLE or set(by_address.values()) == {1}, by_address
    finally:
        tools.close()
