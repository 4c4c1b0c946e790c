#!/usr/bin/env python3
"""Calls that are not used here, each with the reason."""
import re

from sources import C_ROOMS, bare_c, c_files, finish, python_files, relative

ANYWHERE = {
    r"\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets)\s*\(": "no bound: snprintf, memcpy",
    r"\b(strncpy|strncat)\s*\(": "cuts silently or leaves no NUL: snprintf, memcpy",
    r"\b(strtok|strerror_l|asctime|ctime|gmtime|localtime|readdir_r)\s*\(":
        "shared state: the _r variant or strsep",
    r"\b(atoi|atol|atoll|atof)\s*\(": "no error: strtol and friends with checks",
    r"\b(alloca)\s*\(": "unbounded stack",
    r"\bmktemp\s*\(|\btmpnam\s*\(": "race: mkstemp",
    r"\buv_default_loop\s*\(": "the loop is passed in",
}
PROGRAMS = {
    r"\b(rand|random|srand|drand48)\s*\(": "not random: getrandom(2)",
    r"\b(system|popen)\s*\(": "a shell between us and a program: fork and exec",
    r"\b(usleep|sleep|nanosleep)\s*\(": "sleeping is no synchronisation, and blocks the loop",
    r"\bassert\s*\(\s*0\s*\)|\babort\s*\(": "nothing that a peer sends may end the process",
}
HEAP = (r"\b(malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf)\s*\(",
        "protocol/alloc.h has what cannot fail and is overflow-checked")
HEAP_HOMES = {"protocol/alloc.c"}
PYTHON = (r"\btime\.sleep\s*\(", "wait_for() of util.py polls a condition with a deadline")
PYTHON_HOMES = {"tests/e2e/util.py"}
# Reviewed exceptions: (file, text of the line).
ALLOWED = {
    ("client/clock.c", "nanosleep(&t, NULL);"),  # between tries to connect, with a deadline
    ("daemon/claim.c", "nanosleep(&pause, NULL);"),  # before the loop runs, with a deadline
    ("protocol/alloc.c", "abort();"),  # out of memory
}


def search(path, lines, rules):
    for number, line in enumerate(lines, 1):
        for pattern, why in rules:
            match = re.search(pattern, line)
            if match and (path, line.strip()) not in ALLOWED:
                yield f"{path}:{number}: {match[0].strip()} ({why})"


def main():
    problems = []
    for file in c_files():
        path, lines = relative(file), bare_c(file.read_text()).split("\n")
        problems += search(path, lines, ANYWHERE.items())
        if path.split("/")[0] in C_ROOMS:
            problems += search(path, lines, PROGRAMS.items())
            if path not in HEAP_HOMES:
                problems += search(path, lines, [HEAP])
    for file in python_files():
        path = relative(file)
        if path.startswith("tests/") and path not in PYTHON_HOMES:
            problems += search(path, file.read_text().split("\n"), [PYTHON])
    finish(problems, "banned calls")


if __name__ == "__main__":
    main()
