"""The table of causes, its end: no class is forgotten, and what cannot be provoked is tested."""
import re

import test_causes_ended
import test_causes_login
import test_causes_network
from causes import TABLE
from daemon import ROOT
from util import read_text

# class: what it takes, and where a test stands in: a file and words of it.
STAND_INS = {
    "sleep": ("a machine that is suspended", "tests/unit/test_diagnose.c", '{"sleep", '),
    "timed-close": ("a proxy that ends connections at a fixed age, several times",
                    "tests/unit/test_diagnose.c", '{"age", '),
    "server-shutdown": ("a server that says so in a DISCONNECT: sshd says nothing",
                        "tests/unit/test_diagnose.c", '{"shutdown", '),
    "protocol": ("a server whose DISCONNECT says something else", "tests/unit/test_diagnose.c",
                 '{"bye", '),
    "key-exchange": ("a server that fails in the middle of it", "tests/unit/test_diagnose.c",
                     "CAUSE_KEX"),
    "prompt": ("a question where nobody can be asked, while other methods are left",
               "tests/unit/test_login_auth.c", "CAUSE_PROMPT"),
    "config": ("told in ssh's own words, before there is a host", "tests/unit/test_resolve.c",
               "CAUSE_CONFIG"),
    "client-gone": ("nobody is there to read it", "tests/e2e/test_causes_ended.py",
                    "test_client_killed"),
    "limit": ("told, but not in the journal: no connection ended",
              "tests/e2e/test_causes_login.py", "full_queue"),
    "idle": ("in order: nobody used it", "tests/e2e/test_why.py", '"idle"'),
    "internal": ("no memory, or an error of ours", "tests/unit/test_diagnose.c", "CAUSE_INTERNAL"),
    "jump-host": ("in a test of its own", "tests/e2e/test_causes_login.py", "test_jump"),
    "address-changed": ("in a test of its own", "tests/e2e/test_causes_network.py",
                        "address-changed"),
    "route-changed": ("in a test of its own", "tests/e2e/test_causes_network.py",
                      "route-changed"),
    "server-gave-up": ("in a test of its own", "tests/e2e/test_causes_idle.py", "server-gave-up"),
    "idle-drop": ("in a test of its own", "tests/e2e/test_causes_idle.py", "idle-drop"),
}


def test_no_class_is_forgotten():
    """Every class of daemon/cause.h is provoked, or a test is named that stands in."""
    classes = set(re.findall(r'X\(CAUSE_\w+, "([\w-]+)"\)', read_text(ROOT / "daemon/cause.h")))
    rows = [*test_causes_login.ROWS, *test_causes_ended.ROWS, *test_causes_network.ROWS.values()]
    provoked = {cls for row in rows for cls in row[2] or ()}
    assert len(classes) > 30
    assert classes - {"none"} - provoked - set(STAND_INS) == set()
    assert set(STAND_INS) <= classes
    for path, words in ((path, words) for _, path, words in STAND_INS.values()):
        assert words in read_text(ROOT / path), (path, words)
    if TABLE:
        with open(TABLE, "a") as f:
            f.write("\n## What cannot be provoked here\n\n| class | what it takes | test that "
                    "stands in |\n|---|---|---|\n")
            for cls, (what, path, words) in STAND_INS.items():
                if what != "in a test of its own":
                    f.write(f"| `{cls}` | {what} | {path}: `{words}` |\n")
