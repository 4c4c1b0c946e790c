"""The account that the sessions run in: its shell must start fast, or the shell is measured."""
import os
import pwd
import re
import subprocess

PREFIX = "hwbench"


def _remove_stale():
    """Accounts of runs that were killed before they could remove theirs."""
    for entry in pwd.getpwall():
        found = re.fullmatch(PREFIX + r"(\d+)", entry.pw_name)
        if found and not os.path.exists(f"/proc/{found.group(1)}"):
            subprocess.run(["userdel", entry.pw_name], check=False, capture_output=True)


class Account:
    """root: a temporary system account with dash. Anyone else: the account that runs this."""

    def __init__(self, home):
        self.temporary = os.geteuid() == 0
        if not self.temporary:
            entry = pwd.getpwuid(os.geteuid())
            self.name, self.shell = entry.pw_name, entry.pw_shell
            return
        _remove_stale()
        self.name, self.shell = f"{PREFIX}{os.getpid()}", "/bin/dash"
        # '*' and not the default '!': sshd takes the latter for a locked account.
        subprocess.run(["useradd", "-r", "-M", "-N", "-d", home, "-s", self.shell, "-p", "*",
                        self.name], check=True, capture_output=True)

    def own(self, path):
        """Makes a file or directory the account's."""
        if self.temporary:
            os.chown(path, pwd.getpwnam(self.name).pw_uid, -1)

    def remove(self):
        if self.temporary:
            subprocess.run(["userdel", self.name], check=False, capture_output=True)
            self.temporary = False
