"""A private ssh-agent, and a man in the middle of the way to it."""
import socket
import subprocess
import threading

from util import die_with_parent, wait_for

# openssh-tests' software stand-in for a security key: signs without a touch.
SK_DUMMY = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so"


class Agent:
    """ssh-agent in the foreground, ended with the box."""

    def __init__(self, box, *keys, options=(), env=None, where=None):
        self.box = box
        self.socket = str(where or box.dir / f"agent{len(box.clients)}")
        self.proc = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket, *options],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env=box.environment(env), preexec_fn=die_with_parent)
        box.clients.append(self.proc)
        wait_for(self._answers, "the agent's socket")
        self.env = {"SSH_AUTH_SOCK": self.socket}
        for key in keys:
            self.add(key)

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def add(self, *words):
        """ssh-add -q words."""
        subprocess.run(["ssh-add", "-q", *map(str, words)], check=True, stdin=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**self.box.env, **self.env})

    def remove_all(self):
        self.add("-D")

    def keys(self):
        """The lines of ssh-add -l: bits, fingerprint, comment, type."""
        done = subprocess.run(["ssh-add", "-l"], capture_output=True, text=True,
                              env={**self.box.env, **self.env})
        return [] if "no identities" in done.stdout else done.stdout.splitlines()

    def try_sign(self, key):
        """Does the agent sign with it now? (ssh-add -T)"""
        return subprocess.run(["ssh-add", "-T", f"{key}.pub"], capture_output=True,
                              env={**self.box.env, **self.env}).returncode == 0


class SlowAgent:
    """In front of an agent: each signature waits until go is set; counts what is asked for."""

    def __init__(self, box, agent):
        self.path = str(box.dir / f"slow{len(box.clients)}")
        self.env = {"SSH_AUTH_SOCK": self.path}
        self.go, self.asked, self.types = threading.Event(), threading.Event(), []
        self._behind = agent.socket
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _message(sock):
        head = sock.recv(4, socket.MSG_WAITALL)
        return head + sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL) if head else b""

    def _serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as behind:
            behind.connect(self._behind)
            while request := self._message(client):
                self.types.append(request[4])
                if request[4] == 13:  # SSH_AGENTC_SIGN_REQUEST
                    self.asked.set()
                    self.go.wait(60)
                behind.sendall(request)
                client.sendall(self._message(behind))

    def close(self):
        self.go.set()
        self._listener.close()
