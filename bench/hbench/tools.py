"""What people feel: rsync, git, sftp and Ansible with each client in ssh's place, warm."""
import contextlib
import os
import shutil

from .clients import Host
from .procs import BenchSkip

ANSIBLE_HOSTS = 20
ANSIBLE_TASKS = 10


def _need(program, package):
    if not shutil.which(program):
        raise BenchSkip(f"no {program}: install {package}")


def _once(plan, client, argv, runs=1, **env):
    """Milliseconds per run of a tool."""
    result, _ = plan.lab.tool("spawnloop", "-n", runs, *argv, env={**client.env, **env})
    return result["wall_s"] * 1e3 / runs


@contextlib.contextmanager
def _folders(plan):
    """(here, far): a directory on each side, both new, removed afterwards."""
    here = plan.lab.path(f"here{plan.lab.serial()}")
    far = plan.lab.path(f"far{plan.lab.serial()}")
    for path in (here, far):
        os.mkdir(path, 0o755)
    plan.lab.account.own(far)
    try:
        yield here, far
    finally:
        shutil.rmtree(here, ignore_errors=True)
        shutil.rmtree(far, ignore_errors=True)


# ---- rsync -----------------------------------------------------------------------------------
def _make_small_files(folder, count):
    for i in range(count):
        part = os.path.join(folder, f"{i // 100:03}")
        os.makedirs(part, exist_ok=True)
        with open(os.path.join(part, str(i)), "w") as out:
            out.write(f"the content of file {i}\n" * (i % 9))


def rsync(plan):
    """Many small files to an empty directory, then the same once more: nothing to send."""
    _need("rsync", "rsync")
    with _folders(plan) as (here, far), plan.pair(plan.host()) as clients:
        _make_small_files(here, plan.few(10000, 1000))

        def measure(client):
            target = os.path.join(far, f"{client.role}{plan.lab.serial()}")
            argv = ["rsync", "-a", "-e", " ".join(client.argv_of_ssh()), f"{here}/",
                    f"bench:{target}/"]
            values = {"rsync": _once(plan, client, argv), "rsync-same": _once(plan, client, argv)}
            shutil.rmtree(target)
            return values

        return plan.alternate(clients, measure)


# ---- git -------------------------------------------------------------------------------------
GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_SSH_VARIANT": "ssh",
       **{f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER")
          for what in ("NAME", "EMAIL")}}


def git_fetch(plan):
    """A fetch that finds nothing new, from a bare repository with one commit."""
    _need("git", "git")
    runs = plan.few(30, 8)
    with _folders(plan) as (here, far), plan.pair(plan.host()) as clients:
        def git(client, *words):
            return ["git", "-C", here, *words], {
                **GIT, "GIT_SSH_COMMAND": " ".join(client.argv_of_ssh())}

        def run(client, *words):
            argv, env = git(client, *words)
            plan.lab.procs.run(argv, {**client.env, **env})

        clients[1].run("bench", f"git init -q --bare -b main {far}/repo.git")
        run(clients[1], "init", "-q", "-b", "main")
        run(clients[1], "commit", "-q", "--allow-empty", "-m", "first")
        run(clients[1], "remote", "add", "origin", f"bench:{far}/repo.git")
        run(clients[1], "push", "-q", "-u", "origin", "main")

        def measure(client):
            argv, env = git(client, "fetch", "-q")
            return {"git-fetch": _once(plan, client, argv, runs, **env)}

        for client in clients:
            measure(client)  # options of git's own: hawser asks ssh -G about them once
        return plan.alternate(clients, measure)


# ---- sftp ------------------------------------------------------------------------------------
def sftp(plan):
    """A batch of 20 files of 10 kB: put, get, rename, rm, and a listing."""
    _need("sftp", "openssh-client")
    runs = plan.few(20, 5)
    with _folders(plan) as (here, far), plan.pair(plan.host()) as clients:
        lines = [f"lcd {here}", f"cd {far}"]
        for i in range(20):
            with open(os.path.join(here, f"f{i}"), "wb") as out:
                out.write(os.urandom(10000))
            lines += [f"put f{i}", f"get f{i} got", f"rename f{i} g{i}"]
        lines += ["ls -1"] + [f"rm g{i}" for i in range(20)]
        batch = os.path.join(here, "batch")
        with open(batch, "w") as out:
            out.write("\n".join(lines) + "\n")

        def measure(client):
            argv = ["sftp", "-q", "-S", client.executable(), "-F", client.config, "-b", batch,
                    "bench"]
            return {"sftp": _once(plan, client, argv, runs)}

        for client in clients:
            measure(client)
        return plan.alternate(clients, measure)


# ---- Ansible ---------------------------------------------------------------------------------
def _playbook(path, tasks):
    lines = ["- hosts: all", "  gather_facts: false", "  tasks:"]
    with open(path, "w") as out:
        out.write("\n".join(lines + ["    - raw: 'true'"] * tasks) + "\n")


def _ansible_env(client, here, names):
    """Ansible's own way of asking for a master, with the place where ours are held."""
    with open(os.path.join(here, "hosts"), "w") as out:
        out.write("\n".join(names) + "\n")
    with open(os.path.join(here, "ansible.cfg"), "w") as out:
        out.write("[defaults]\n")
    return {
        "ANSIBLE_CONFIG": os.path.join(here, "ansible.cfg"), "ANSIBLE_HOME": here,
        "ANSIBLE_INVENTORY": os.path.join(here, "hosts"), "ANSIBLE_LOCAL_TEMP": here,
        "ANSIBLE_FORKS": str(ANSIBLE_HOSTS), "ANSIBLE_SSH_EXECUTABLE": client.executable(),
        "ANSIBLE_SSH_ARGS": f"-F {client.config} -o ControlMaster=auto -o ControlPersist=60s "
                            f"-o ControlPath={client.directory}/%n",
        "LC_ALL": "C.UTF-8",
    }


def ansible(plan):
    """A playbook of raw tasks on hosts of one loopback address each, all hosts at once."""
    _need("ansible-playbook", "ansible-core")
    hosts = [Host(f"a{i}", plan.lab.port, f"127.0.2.{i}")
             for i in range(1, plan.few(ANSIBLE_HOSTS, 4) + 1)]
    names = [host.name for host in hosts]
    with _folders(plan) as (here, _), plan.pair(*hosts) as clients:
        book, short = os.path.join(here, "book.yml"), os.path.join(here, "short.yml")
        _playbook(book, plan.few(ANSIBLE_TASKS, 2))
        _playbook(short, 1)

        def play(client, path):
            return _once(plan, client, ["ansible-playbook", path],
                         **_ansible_env(client, here, names))

        for client in clients:
            play(client, short)  # Ansible's options make a transport of their own in hawser
        return plan.alternate(clients, lambda c: {"ansible": play(c, book) / 1e3})
