"""ssh as the oracle: forwards, -W, -N, -f, masters, proxies, jump hosts, agents, local commands.

The server runs on this machine too, so that a remote command can use a local forward. @talk@ tries
for some seconds to connect; refuse (below) does not."""
import pytest

from oracle import case, check, params, world  # noqa: F401

LATER = {"native": "later"}
REFUSE = "(exec 3<>/dev/tcp/127.0.0.1/@free@) 2>/dev/null; echo $?"
refuse = f"bash -c '{REFUSE}'"
# Waits in a script for a file or socket; ends what runs in the background.
WAIT = 'until test -e "$1"; do sleep 0.02; done'
TO = "@free@:127.0.0.1:@service@"
IN_USE = "[Aa]ddress already in use"
HELD = "while test ! -e @own@/stop; do sleep 0.05; done"

LOCAL = [
    case("-L", "-L", TO, "h", "@talk@ w @free@", prints="hi w", **LATER),
    case("-L joined", "-L" + TO, "h", "@talk@ w @free@", prints="hi w", **LATER),
    case("-L behind the host", "h", "-L", TO, "@talk@ w @free@", prints="hi w", **LATER),
    case("-L with an address", "-L", "127.0.0.1:" + TO, "h", "@talk@ w @free@", prints="hi",
         **LATER),
    case("-L with localhost", "-L", "localhost:" + TO, "h", "@talk@ w @free@", prints="hi",
         says=(), **LATER),
    case("-L with brackets", "-L", "[127.0.0.1]:@free@:[127.0.0.1]:@service@", "h",
         "@talk@ w @free@", prints="hi", **LATER),
    case("-L with slashes", "-L", "127.0.0.1/@free@/127.0.0.1/@service@", "h",
         "@talk@ w @free@", **LATER),
    case("-L with *", "-4", "-L", "*:" + TO, "h", "@talk@ w @free@", prints="hi", **LATER),
    case("-L with -g", "-4", "-g", "-L", TO, "h", "@talk@ w @free@", prints="hi", **LATER),
    case("LocalForward", "-o", "LocalForward @free@ 127.0.0.1:@service@", "h",
         "@talk@ w @free@", prints="hi", **LATER),
    case("LocalForward in a file", "-F", "conf", "h", "@talk@ w @free@", config=False,
         files={"conf": "LocalForward @free@ 127.0.0.1:@service@\nInclude @config@\n"},
         prints="hi", **LATER),
    case("two of them", "-L", TO, "-L", "@free2@:127.0.0.1:@service@", "h",
         "@talk@ a @free@; @talk@ b @free2@", prints="hi b", **LATER),
    case("one after the other", "-L", TO, "h", "for i in 1 2 3; do @talk@ $i @free@; done",
         prints="hi 3", **LATER),
    case("at the same time", "-L", TO, "h",
         "(for i in 1 2 3 4; do @talk@ $i @free@ & done; wait) | sort", prints="hi 4", **LATER),
    case("-L to a socket", "-L", "@free@:@servicesock@", "h", "@talk@ w @free@", prints="hi w",
         **LATER),
    case("-L from a socket", "-oStreamLocalBindMask=0000", "-L", "@sock@:127.0.0.1:@service@",
         "h", "@talk@ w @sock@", prints="hi w", **LATER),
    case("-L from socket to socket", "-oStreamLocalBindMask=0000", "-L", "@sock@:@servicesock@",
         "h", "@talk@ w @sock@", prints="hi w", **LATER),
    case("socket's mode", "-L", "@sock@:@servicesock@", "h", "stat -c %a @sock@", prints="600",
         **LATER),
    case("socket's mode by mask", "-oStreamLocalBindMask=0117", "-L", "@sock@:@servicesock@",
         "h", "stat -c %a @sock@", prints="660", **LATER),
    case("socket goes with the client", shell='"$@" -L @sock@:@servicesock@ h "test -S @sock@"; '
         'echo $?; ls @sock@ 2>&1', **LATER),
    case("-L refused behind", "-L", "@free@:127.0.0.1:@refused@", "h", "@talk@ w @free@",
         says=("open failed: connect failed: Connection refused",), **LATER),
    case("-L to an unknown name", "-L", "@free@:no.such.invalid:1", "h", "@talk@ w @free@",
         says=("open failed: .*connect failed|open failed: administratively",), **LATER),
    case("-L port in use", "-L", "@taken@:127.0.0.1:1", "h", "echo x", status=0,
         says=(IN_USE, "Could not request local forwarding|cannot listen to port: @taken@"),
         **LATER),
    case("-L port in use, ExitOnForwardFailure", "-oExitOnForwardFailure=yes", "-L",
         "@taken@:127.0.0.1:1", "h", "echo x", status=255, says=(IN_USE,), **LATER),
    case("-L one of two in use", "-L", "@taken@:127.0.0.1:1", "-L", TO, "h", "@talk@ w @free@",
         says=(IN_USE,), prints="hi w", **LATER),
    case("-L socket in use", "-L", "@sock@:@servicesock@", "h", "echo x",
         files={"sock": "a file\n"}, status=0, says=(IN_USE,), **LATER),
    case("-L socket in use, ExitOnForwardFailure", "-oExitOnForwardFailure=yes", "-L",
         "@sock@:@servicesock@", "h", "echo x", files={"sock": "a file\n"}, status=255,
         says=(IN_USE,), **LATER),
    case("-L socket in use, StreamLocalBindUnlink", "-oStreamLocalBindUnlink=yes",
         "-oStreamLocalBindMask=0000", "-L", "@sock@:@servicesock@", "h", "@talk@ w @sock@",
         files={"sock": "a file\n"}, prints="hi w", **LATER),
    case("-L in a folder that is not there", "-oExitOnForwardFailure=yes", "-L",
         "/no.such/dir/s:@servicesock@", "h", "echo x", says=("No such file",), status=255,
         **LATER),
    case("-L address that is not ours", "-oExitOnForwardFailure=yes", "-L",
         "192.0.2.7:@free@:h:1", "h", "echo x", says=("Cannot assign requested address",),
         status=255, **LATER),
    case("ClearAllForwardings", "-oClearAllForwardings=yes", "-L", TO, "h", refuse,
         prints="1", **LATER),
    case("status with -L", "-L", TO, "h", "exit 7", status=7, **LATER),
    case("input with -L", "-L", TO, "h", "cat; @talk@ w @free@", stdin=b"text\n", prints="hi w",
         **LATER),
    case("terminal with -L", "-tt", "-L", TO, "h", "@talk@ w @free@", out=True, says=(),
         prints="hi w", **LATER),
    case("wrong key with -L", "-L", TO, "wrongkey", "true", says=("Permission denied",),
         status=255, **LATER),
] + [case(f"bad -L {spec or 'empty'}", "-L", spec, "h", "true", native=False, status=255,
          says=("Bad local forwarding specification",))
     for spec in ("x", "", "1", "1:2", "0:h:1", "70000:h:1", "1:h:x", "a:b:c:d:e", "1:h:0",
                  ":::", "/a")]

REMOTE = [
    case("-R", "-R", TO, "h", "@talk@ w @free@", prints="hi w", **LATER),
    case("-R with localhost", "-R", "localhost:" + TO, "h", "@talk@ w @free@", prints="hi w",
         says=(), **LATER),
    case("-R with an address", "-R", "127.0.0.1:" + TO, "h", "@talk@ w @free@", prints="hi w",
         **LATER),
    case("RemoteForward", "-o", "RemoteForward @free@ 127.0.0.1:@service@", "h",
         "@talk@ w @free@", prints="hi w", **LATER),
    case("-R and -L", "-R", TO, "-L", "@free2@:127.0.0.1:@free@", "h", "@talk@ w @free2@",
         prints="hi w", **LATER),
    case("-R to a socket", "-R", "@free@:@servicesock@", "h", "@talk@ w @free@", prints="hi w",
         **LATER),
    case("-R from a socket", "-R", "@sock@:127.0.0.1:@service@", "h", "@talk@ w @sock@",
         prints="hi w", native=False),
    case("-R 0", "-R", "0:127.0.0.1:@service@", "h", "echo x", prints="x",
         says=(r"Allocated port \d+ for remote forward to 127.0.0.1:@service@",), **LATER),
    case("-R 0, quiet", "-q", "-R", "0:127.0.0.1:@service@", "h", "echo x", **LATER),
    case("-R as SOCKS", "-R", "@free@", "h", "@talk@ w @free@ 127.0.0.1 @service@",
         prints="hi w", **LATER),
    case("-R port in use", "-R", "@taken@:h:1", "h", "echo x", status=0,
         says=("remote port forwarding failed for listen port @taken@",), **LATER),
    case("-R port in use, ExitOnForwardFailure", "-oExitOnForwardFailure=yes", "-R",
         "@taken@:h:1", "h", "echo x", status=255,
         says=("remote port forwarding failed for listen port @taken@",), **LATER),
    case("-R port that the account may not have", "-R", "80:h:1", "h", "echo x", status=0,
         says=("remote port forwarding failed for listen port 80",), **LATER),
    case("-R refused behind", "-R", "@free@:127.0.0.1:@refused@", "h", "@talk@ w @free@",
         says=("connect_to 127.0.0.1 port @refused@: failed|Connection refused",), **LATER),
    case("-R ClearAllForwardings", "-oClearAllForwardings=yes", "-R", TO, "h", refuse,
         prints="1", **LATER),
] + [case(f"bad -R {spec or 'empty'}", "-R", spec, "h", "true", native=False, status=255,
          says=("Bad remote forwarding specification",))
     for spec in ("x", "", "70000:h:1", "1:h:x", "a:b:c:d:e")]

DYNAMIC = [
    case("-D", "-D", "@free@", "h", "@talk@ w @free@ 127.0.0.1 @service@", prints="hi w",
         **LATER),
    case("-D by name", "-D", "@free@", "h", "@talk@ w @free@ localhost @service@", prints="hi w",
         **LATER),
    case("-D SOCKS 4", "-D", "@free@", "h", "@talk@ w @free@ 4 127.0.0.1 @service@",
         prints="hi w", **LATER),
    case("-D with an address", "-D", "127.0.0.1:@free@", "h",
         "@talk@ w @free@ 127.0.0.1 @service@", prints="hi w", **LATER),
    case("DynamicForward", "-oDynamicForward=@free@", "h", "@talk@ w @free@ 127.0.0.1 @service@",
         prints="hi w", **LATER),
    case("-D, refused behind", "-D", "@free@", "h", "@talk@ w @free@ 127.0.0.1 @refused@",
         says=("open failed: connect failed: Connection refused",), out=False, **LATER),
    case("-D port in use", "-D", "@taken@", "h", "echo x", status=0, says=(IN_USE,), **LATER),
    case("-D port in use, ExitOnForwardFailure", "-oExitOnForwardFailure=yes", "-D", "@taken@",
         "h", "echo x", status=255, says=(IN_USE,), **LATER),
] + [case(f"bad -D {spec or 'empty'}", "-D", spec, "h", "true", native=False, status=255,
          says=("Bad dynamic forwarding specification",))
     for spec in ("x", "", "70000", "a:b:c", "1:2:3")]

STDIO = [
    case("-W", "-W", "127.0.0.1:@service@", "h", stdin=b"w\n", prints="hi w", status=0, **LATER),
    case("-W joined", "-W127.0.0.1:@service@", "h", stdin=b"w\n", prints="hi w", **LATER),
    case("-W with brackets", "-W", "[127.0.0.1]:@service@", "h", stdin=b"w\n", prints="hi w",
         **LATER),
    case("-W by name", "-W", "localhost:@service@", "h", stdin=b"w\n", prints="hi w", **LATER),
    case("-W with -q", "-q", "-W", "127.0.0.1:@service@", "h", stdin=b"w\n", prints="hi w",
         **LATER),
    case("-W with -N -T", "-NT", "-W", "127.0.0.1:@service@", "h", stdin=b"w\n", prints="hi w",
         **LATER),
    case("-W refused", "-W", "127.0.0.1:@refused@", "h", stdin=b"w\n", status=255,
         says=("Connection refused", "stdio forwarding failed"), **LATER),
    case("-W unknown name", "-W", "no.such.invalid:1", "h", stdin=b"w\n", status=255,
         says=("stdio forwarding failed",), **LATER),
    case("-W with a command", "-W", "127.0.0.1:@service@", "h", "echo x", stdin=b"w\n",
         native=False),
    case("-W clears forwards", "-W", "127.0.0.1:@service@", "-L", "@taken@:h:1", "h",
         stdin=b"w\n", prints="hi w", **LATER),
    case("-W wrong key", "-W", "127.0.0.1:@service@", "wrongkey", says=("Permission denied",),
         status=255, **LATER),
    case("-W to an sshd", "-W", "127.0.0.1:@port@", "h", stdin=b"no ssh\n",
         prints="SSH-2.0-OpenSSH", says=(), **LATER),
] + [case(f"bad -W {spec or 'empty'}", "-W", spec, "h", native=False, status=255,
          says=("Bad stdio forwarding specification",))
     for spec in ("x", "", "h:x", "h:0", "h:70000")]

BACKGROUND = [
    case("-N -L", shell='"$@" -N -L ' + TO + ' h & @talk@ w @free@; kill $!; wait $!; echo $?',
         prints="hi w", says=(), **LATER),
    case("-N ended by INT", shell='env --default-signal=INT "$@" -N -L ' + TO + ' h & '
         '@talk@ w @free@; kill -INT $!; wait $!; echo $?', prints="hi w", says=(), **LATER),
    case("-N with a command", shell='"$@" -N -L ' + TO + ' h "echo never" & @talk@ w @free@; '
         'kill $!; wait $!', prints="hi w", says=(), **LATER),
    case("SessionType=none", shell='"$@" -oSessionType=none -L ' + TO + ' h & @talk@ w @free@; '
         'kill $!; wait $!', prints="hi w", says=(), **LATER),
    case("-N fails to forward", "-N", "-oExitOnForwardFailure=yes", "-L", "@taken@:h:1", "h",
         status=255, says=(IN_USE,), **LATER),
    case("-N wrong key", "-N", "wrongkey", status=255, says=("Permission denied",), **LATER),
    case("-f", shell='"$@" -f h "echo out; echo err >&2; touch @own@/done"; echo $?; set done; '
         + WAIT, prints="0", out=False, **LATER),
    case("-f -L", shell='"$@" -f -L ' + TO + f' h "{HELD}"; echo $?; @talk@ w @free@; '
         'touch stop', prints="0\nhi w", **LATER),
    case("-f -N -L with ExitOnForwardFailure", shell='"$@" -fN -oExitOnForwardFailure=yes '
         '-L @taken@:h:1 h; echo $?', prints="255", says=(IN_USE,), **LATER),
    case("-f wrong key", "-f", "wrongkey", "true", status=255, says=("Permission denied",),
         **LATER),
    case("-f refused", "-f", "-p", "@refused@", "h", "true", status=255,
         says=("Connection refused",), **LATER),
    case("ForkAfterAuthentication", shell='"$@" -oForkAfterAuthentication=yes h "echo out"; '
         'echo $?', out=False, **LATER),
    case("-f takes no input", shell='"$@" -f h "cat; touch done"; cat', stdin=b"kept\n",
         prints="kept", **LATER),
]

# A master of one's own at a path; then what is asked of it.
MASTER = ('"$@" -M -N -S m h & set -- "$@" -S m; until test -S m; do sleep 0.02; done; '
          '%s; "$@" -O exit h 2>&1; wait $!; echo "status $?"; ls')
MASTERS = [
    case("-O check", shell=MASTER % '"$@" -O check h 2>&1 | sed "s/[0-9][0-9]*/PID/"',
         prints="Master running (pid=PID)", says=(), **LATER),
    case("command by a master", shell=MASTER % '"$@" h "echo via; exit 3"; echo $?',
         prints="via\n3", says=(), **LATER),
    case("-O forward", shell=MASTER % ('"$@" -O forward -L ' + TO + ' h; echo $?; '
                                       '@talk@ w @free@'), prints="hi w", says=(), **LATER),
    case("-O cancel", shell=MASTER % ('"$@" -O forward -L ' + TO + ' h; "$@" -O cancel -L ' + TO
                                      + f' h; echo $?; {REFUSE}'), prints="0\n1", says=(),
         **LATER),
    case("-O cancel what is not there", shell=MASTER % ('"$@" -O cancel -L ' + TO + ' h; '
                                                        'echo $?'), says=(), **LATER),
    case("-O stop", shell='"$@" -M -N -S m h & set -- "$@" -S m; until test -S m; do sleep 0.02; '
         'done; "$@" -O stop h 2>&1; wait $!; echo $?; ls', prints="Stop listening", says=(),
         **LATER),
    case("ControlPath without a master", "-oControlPath=@own@/m", "h", "echo x"),
    case("ControlMaster=auto, ControlPersist=no", shell='"$@" -oControlMaster=auto '
         '-oControlPath=@own@/m -oControlPersist=no h "echo x"; ls'),
]

# Not in a line of its own: `exec echo >&2` ends ssh's pipe before it writes.
SAY = "#!/bin/sh\necho %s >&2\nexit 1\n"

PROXIES = [
    case("ProxyCommand", "-oProxyCommand=@relay@ %h %p", "h", "echo x; exit 3", status=3,
         **LATER),
    case("ProxyCommand is ssh -W", "-o", "ProxyCommand=/usr/bin/ssh -F @config@ -W %h:%p h", "h",
         "echo x; exit 3", status=3, **LATER),
    case("ProxyCommand is ours -W", "-o", "ProxyCommand=@ssh@ -W %h:%p h", "h",
         "echo x", prints="x", **LATER),
    case("ProxyCommand and input", "-o", "ProxyCommand=/usr/bin/ssh -F @config@ -W %h:%p h", "h",
         "md5sum", stdin=b"0123456789abcdef" * 40_000, **LATER),
    case("ProxyCommand=none", "-oProxyCommand=none", "h", "echo x"),
    case("ProxyCommand fails", "-oProxyCommand=false", "h", "echo x", status=255, says=(),
         **LATER),
    case("ProxyCommand: exit 1", "-oProxyCommand=exit 1", "h", "echo x", status=255, says=(),
         **LATER),
    case("ProxyCommand says why", "-oProxyCommand=@own@/say", "h", "echo x", status=255,
         files={"say": SAY % "proxy-words"}, says=("^proxy-words",), **LATER),
    case("ProxyCommand says something and works", "-o", "ProxyCommand=@own@/say", "h", "echo x",
         says=("^proxy-words",), status=0, **LATER, files={
             "say": "#!/bin/sh\necho proxy-words >&2\n"
                    "exec /usr/bin/ssh -F @config@ -W 127.0.0.1:@port@ h\n"}),
    case("ProxyCommand is not there", "-oProxyCommand=/no.such/dir %h", "h", "echo x",
         status=255, says=("/no.such/dir",), **LATER),
    case("ProxyCommand is no ssh server", "-oProxyCommand=echo hello", "h", "echo x", status=255,
         says=(), **LATER),
    case("ProxyCommand sees the environment", "-oProxyCommand=@own@/say", "h", "x",
         env={"HW_P": "from-here"}, files={"say": SAY % "$HW_P"}, status=255,
         says=("^from-here",), **LATER),
    case("ProxyCommand's folder", "-oProxyCommand=./say", "h", "x", status=255,
         files={"say": SAY % "$PWD"}, says=("^@own@",), **LATER),
    case("ProxyCommand's tokens", "-oProxyCommand=@own@/say %n %h %r %p", "h", "x", status=255,
         files={"say": SAY % '"$@"'}, says=("^h 127.0.0.1 @user@ @port@",), **LATER),
    case("ProxyUseFdpass", "-oProxyUseFdpass=yes", "-oProxyCommand=@own@/pass %h %p", "h",
         "echo x; exit 3", status=3, files={
             "pass": "#!/usr/bin/python3 -SE\nimport socket, sys\n"
                     "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
                     "socket.send_fds(socket.socket(fileno=1), [b'x'], [s.fileno()])\n"}, **LATER),
    case("-J", "-J", "h", "rc", prints="remote-command", **LATER),
    case("-J user@host:port", "-J", "@user@@h:@port@", "rc", **LATER),
    case("-J two", "-J", "h,rc", "h", "echo x; exit 3", status=3, **LATER),
    case("-J ssh://", "-J", "ssh://h", "rc", **LATER),
    case("ProxyJump", "-oProxyJump=h", "rc", **LATER),
    case("ProxyJump=none", "-oProxyJump=none", "h", "echo x"),
    case("-J and input", "-J", "h", "-oRemoteCommand=none", "rc", "md5sum",
         stdin=b"0123456789abcdef" * 40_000, **LATER),
    case("-J unknown", "-J", "no.such.invalid", "h", "true", status=255,
         says=("Could not resolve hostname no.such.invalid",), **LATER),
    case("-J refused", "-J", "127.0.0.1:@refused@", "h", "true", status=255,
         says=("Connection refused",), **LATER),
    case("-J wrong key", "-J", "wrongkey", "h", "true", status=255,
         says=("Permission denied",), **LATER),
    case("-J, refused behind", "-J", "h", "-p", "@refused@", "rc", status=255,
         says=("Connection refused",), **LATER),
    case("-J, wrong key behind", "-J", "h", "wrongkey", "true", status=255,
         says=("Permission denied",), **LATER),
]

AGENT = 'eval "$(ssh-agent)" >/dev/null; ssh-add -q @key@; %s; kill $SSH_AGENT_PID'
LIST = 'h "ssh-add -l | cut -d\\" \\" -f1,2; echo \\${SSH_AUTH_SOCK:+set}"'
OTHERS = [
    case("-A", shell=AGENT % f'"$@" -A {LIST}', prints="SHA256:", **LATER),
    case("-A and without", shell=AGENT % f'"$@" -A {LIST}; "$@" {LIST}', prints="SHA256:",
         **LATER),
    case("-A -a", shell=AGENT % f'"$@" -A -a {LIST}', native=False),
    case("ForwardAgent", shell=AGENT % f'"$@" -oForwardAgent=yes {LIST}', prints="SHA256:",
         **LATER),
    case("ForwardAgent of a path", shell=AGENT % f'"$@" -oForwardAgent=$SSH_AUTH_SOCK {LIST}',
         prints="SHA256:", **LATER),
    case("-A without an agent", "-A", "h", "echo ${SSH_AUTH_SOCK:-none}", prints="none", **LATER),
    case("key from the agent", shell=AGENT % '"$@" -oIdentityFile=none h "echo in"'),
    case("IdentityAgent=none", shell=AGENT % '"$@" -oIdentityAgent=none wrongkey "echo in"',
         status=0, says=("Permission denied",)),
    # It is a login that adds keys: one of its own.
    case("AddKeysToAgent", shell='eval "$(ssh-agent)" >/dev/null; "$@" -oAddKeysToAgent=yes '
         '-oTCPKeepAlive=no h "echo in"; ssh-add -l | cut -d" " -f1,2; kill $SSH_AGENT_PID',
         prints="SHA256:", **LATER),
    case("LocalCommand", "-oPermitLocalCommand=yes", "-oLocalCommand=echo local", "h",
         "sleep 0.1; echo remote", prints="local\nremote", **LATER),
    case("LocalCommand's tokens", "-oPermitLocalCommand=yes", "-oLocalCommand=echo %n %h %p %r",
         "h", "sleep 0.1; echo remote", prints="h 127.0.0.1", **LATER),
    case("LocalCommand fails", "-oPermitLocalCommand=yes", "-oLocalCommand=exit 3", "h",
         "echo remote", status=0, **LATER),
    case("LocalCommand's environment", "-oPermitLocalCommand=yes", "-oLocalCommand=echo $HW_L; pwd",
         "h", "sleep 0.1; echo remote", env={"HW_L": "mine"}, prints="mine", **LATER),
    case("LocalCommand not permitted", "-oLocalCommand=echo local", "h", "echo remote"),
    case("KnownHostsCommand", "-oUserKnownHostsFile=none",
         "-oKnownHostsCommand=/usr/bin/cat @dir@/known_hosts", "h", "echo in", **LATER),
    case("KnownHostsCommand fails", "-oUserKnownHostsFile=none", "-oBatchMode=yes",
         "-oKnownHostsCommand=/usr/bin/false", "h", "echo in", status=255, says=(), **LATER),
    case("RevokedHostKeys", "-oRevokedHostKeys=@own@/revoked", "h", "echo in", status=255,
         files={"revoked": "@hostkey@\n"}, says=("revoked",), **LATER),
    case("RevokedHostKeys, another", "-oRevokedHostKeys=@own@/revoked", "h", "echo in",
         files={"revoked": "@otherkey@\n"}, prints="in", **LATER),
    case("RevokedHostKeys that cannot be read", "-oRevokedHostKeys=/no.such/dir", "h", "echo in",
         status=255, says=("/no.such/dir|revoked|verification failed",), **LATER),
    case("@revoked", "-oUserKnownHostsFile=@own@/known", "h", "echo in", status=255,
         files={"known": "@revoked * @hostkey@\n"}, says=("revoked",)),
    case("UpdateHostKeys", "-oUpdateHostKeys=yes", "h", "echo in", says=(), prints="in"),
    case("-X without a display", "-X", "h", "echo ${DISPLAY-none}", says=(), **LATER),
]


@pytest.mark.parametrize("c", params(LOCAL))
def test_local(world, c):
    """-L: ports and sockets of this machine."""
    check(world, c)


@pytest.mark.parametrize("c", params(REMOTE))
def test_remote(world, c):
    """-R: ports and sockets of the server."""
    check(world, c)


@pytest.mark.parametrize("c", params(DYNAMIC))
def test_dynamic(world, c):
    """-D: SOCKS."""
    check(world, c)


@pytest.mark.parametrize("c", params(STDIO))
def test_stdio(world, c):
    """-W."""
    check(world, c)


@pytest.mark.parametrize("c", params(BACKGROUND))
def test_background(world, c):
    """-N and -f."""
    check(world, c)


@pytest.mark.parametrize("c", params(MASTERS))
def test_masters(world, c):
    """-M, -S and -O."""
    check(world, c)


@pytest.mark.parametrize("c", params(PROXIES))
def test_proxies(world, c):
    """Other ways to the server."""
    check(world, c)


@pytest.mark.parametrize("c", params(OTHERS))
def test_others(world, c):
    """Agents, commands of this side, other sources of trust."""
    check(world, c)
