#!/usr/bin/env python3
"""Who may include whom (docs/architecture.md, "Rooms"), as data.

Calls go down, so a file may include headers of its own group or of a lower layer. app.h is the
struct of pointers that stands in for globals: it knows nothing of the layers and all may see it.
"""
import fnmatch
import re

from sources import C_ROOMS, c_files, finish, relative

# Rooms: folder -> folders whose headers may be included.
ROOMS = {"protocol": {"protocol"}, "client": {"client", "protocol"},
         "daemon": {"daemon", "protocol"}}

# Layers of daemon/, lowest first: (layer, group, names of its files without suffix).
LAYERS = [
    (1, "values", ["backoff", "marker", "cause", "lock", "evidence", "diagnose*",
                   "config_host", "origin", "forward_spec",
                   "x11_parse", "destination*", "digest", "expand", "pattern", "keywords",
                   "algorithms", "config", "knownhosts*", "keyblob*", "sshwire",
                   "terminal_modes"]),
    (1, "loop", ["watch", "worker", "defer", "spawn", "activation", "claim", "resolve_run"]),
    (2, "state", ["journal*", "learn*", "state*", "netid"]),  # what is kept over restarts
    (2, "network", ["netwatch*"]),
    (2, "resolve", ["resolve*"]),
    (2, "login", ["login*", "handshake*", "trust*", "auth*", "agent*", "identity*"]),
    (2, "dial", ["dial*", "proxy*"]),
    (2, "pump", ["pump*"]),
    (3, "transport", ["transport*", "channel*"]),
    (4, "bridge", ["bridge"]),
    (5, "tunnel", ["tunnel", "lend*"]),
    (6, "pool", ["pool*"]),
    (6, "x11", ["x11", "x11_auth"]),
    (7, "forward", ["forward*"]),
    (7, "jump", ["jump"]),
    (8, "session", ["session*"]),
    (9, "front", ["dispatch*", "control*", "conn*"]),
    (10, "listener", ["listener*"]),
    (11, "app", ["app*"]),
    (12, "main", ["main"]),
]
SEEN_BY_ALL = {"daemon/app.h", "daemon/config.h"}
# A front end knows sessions and the pool's listing; it never reaches over them.
FRONT_ENDS = {"front", "listener"}
NOT_FOR_FRONT_ENDS = {"login", "dial", "transport", "pump", "resolve"}

# Libraries: pattern of the header -> files that may include it.
LIBRARIES = {
    "libssh/*": ["daemon/transport*", "daemon/channel*", "daemon/login*", "daemon/handshake*",
                 "daemon/trust*", "daemon/auth*", "daemon/agent*", "daemon/identity*",
                 "daemon/keyblob*"],
    "msgpack*": ["protocol/encode.c", "protocol/decode*.c", "protocol/reply.c", "protocol/pack.c"],
    "uv.h": ["daemon/*"],
    "systemd/*": [],
}
# Wire formats stay at the edges.
PROJECT = {
    "protocol/frame.h": ["protocol/*", "client/*", "daemon/conn.c", "daemon/listener.c"],
    "protocol/decode.h": ["protocol/*", "client/*", "daemon/dispatch.c", "daemon/session.c"],
    "protocol/encode.h": ["protocol/*", "client/*", "daemon/dispatch.c", "daemon/control*",
                          "daemon/listener.c"],
    "daemon/*_priv.h": None,  # only files of the same group, checked below
}


def place(path):
    """(layer, group) of a file of daemon/."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    for layer, group, names in LAYERS:
        if any(fnmatch.fnmatch(stem, n) for n in names):
            return layer, group
    return None


def allowed(header, path, table):
    """None: the table does not speak of this header."""
    for pattern, who in table.items():
        if who is not None and fnmatch.fnmatch(header, pattern):
            return any(fnmatch.fnmatch(path, w) for w in who)
    return None


def check_daemon(path, header):
    own, other = place(path), place(header)
    if own is None or other is None:
        unknown = path if own is None else header
        return f"{unknown}: tests/lint/includes.py gives it no layer"
    if header.endswith("_priv.h") and own[1] != other[1]:
        return f"{path}: {header} is private to the group \"{other[1]}\""
    if own[1] == other[1] or header in SEEN_BY_ALL:
        return None
    if other[0] >= own[0]:
        return f"{path} (layer {own[0]}, {own[1]}) includes {header} (layer {other[0]}, {other[1]})"
    if own[1] in FRONT_ENDS and other[1] in NOT_FOR_FRONT_ENDS:
        return f"{path}: a front end reaches over session into {header}"
    return None


def check(path, header, system):
    room = path.split("/")[0]
    if system:
        if allowed(header, path, LIBRARIES) is False:
            return f"{path}: <{header}> does not belong there"
        return None
    if header.split("/")[0] not in ROOMS[room]:
        return f"{path}: {room}/ may not include \"{header}\""
    if allowed(header, path, PROJECT) is False:
        return f"{path}: \"{header}\" is for the edges only"
    if header.endswith(".c"):
        return f"{path}: includes {header}"
    if room == "daemon" and header.startswith("daemon/"):
        return check_daemon(path, header)
    return None


def main():
    problems = []
    for file in c_files(C_ROOMS):
        path = relative(file)
        found = re.findall(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', file.read_text(), re.M)
        problems += filter(None, (check(path, name, kind == "<") for kind, name in found))
        own = path[:-1] + "h"
        if path.endswith(".c") and found and any(n == own for _, n in found) and found[0][1] != own:
            problems.append(f"{path}: its own header comes first")
        if path.endswith(".h") and not re.search(r"^#ifndef HAWSER_\w+_H$", file.read_text(), re.M):
            problems.append(f"{path}: no include guard HAWSER_..._H")
    finish(problems, "includes")


if __name__ == "__main__":
    main()
