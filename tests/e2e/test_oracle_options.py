"""ssh as the oracle: options, keywords of ssh_config, environment; answers without a server."""
import pytest

from oracle import case, check, params, world  # noqa: F401

DIGEST = "md5sum"

OPTIONS = [
    case("options after the host", "h", "-T", "-oBatchMode=yes", "echo", "-n", "x"),
    case("option between", "-q", "h", "-n", "echo x"),
    case("-- before the host", "--", "h", "echo yes"),
    case("-- after the host", "h", "--", "echo", "yes"),
    case("-- after options", "-T", "--", "h", "echo", "--", "x"),
    case("-- -- host", "--", "--", "h", "echo x", says=(), status=255),
    case("bundled", "-qTxan", "h", "echo x"),
    case("bundled with a value", "-qTp@port@", "h", "echo x"),
    case("bundled with a value apart", "-qTp", "@port@", "h", "echo x"),
    case("bundled -v", "-tTqvn", "h", "tty", says=()),
    case("-oKey=value", "-oBatchMode=yes", "h", "echo x"),
    case("-o Key=value", "-o", "BatchMode=yes", "h", "echo x"),
    case("-o 'Key value'", "-o", "BatchMode yes", "h", "echo x"),
    case("-o 'Key = value'", "-o", "BatchMode = yes", "h", "echo x"),
    case("-o with quotes", "-o", 'User="@user@"', "h", "id -un"),
    case("-o with quoted path", "-o", 'IdentityFile="@key@"', "h", "echo x"),
    case("-o in capitals", "-oBATCHMODE=YES", "h", "echo x"),
    case("-o twice: the first counts", "-oPort=@port@", "-oPort=@refused@", "h", "echo x"),
    case("-o before -p", "-oPort=@port@", "-p", "@refused@", "h", "echo x"),
    case("-p before -o", "-p", "@port@", "-oPort=@refused@", "h", "echo x"),
    case("-p twice", "-p", "@port@", "-p", "@refused@", "h", "echo x"),
    case("user@host", "@user@@h", "id -un", prints="@user@"),
    case("-l", "-l", "@user@", "h", "id -un"),
    case("-l wins over user@host", "-l", "@user@", "nobody@h", "id -un"),
    case("user@host before -l", "@user@@h", "-l", "nobody", "id -un"),
    case("user with @", "a@b@h", "id -un", says=("Permission denied",), status=255),
    case("ssh://", "ssh://h", "echo x"),
    case("ssh://host/", "ssh://h/", "echo x"),
    case("ssh://user@host:port", "ssh://@user@@h:@port@", "id -un"),
    case("ssh:// and -p", "-p", "@port@", "ssh://h:@refused@", "echo x"),
    case("ssh:// with %40", "ssh://a%40b@h", "id -un", says=("Permission denied",)),
    case("ssh://[address]", "-oHostName=127.0.0.1", "-p", "@port@", "-l", "@user@", "-i", "@key@",
         "-oUserKnownHostsFile=@dir@/known_hosts", "ssh://[127.0.0.1]", "echo x"),
    case("-4", "-4", "h", "echo x"), case("-2", "-2", "h", "echo x"),
    case("-C", "-C", "h", "echo x"), case("-a", "-a", "h", "echo x"),
    case("-x", "-x", "h", "echo x"), case("-k", "-k", "h", "echo x"),
    case("-g", "-g", "h", "echo x"), case("-T", "-T", "h", "echo x"),
    case("-A", "-A", "h", "echo x", native="later"),
    case("-K", "-K", "h", "echo x", native=False),
    case("-y", "-y", "h", "echo x", native=False),
    case("-S none", "-S", "none", "h", "echo x"),
    case("-M", "-M", "h", "echo x", native=False),
    case("-c", "-c", "aes128-ctr", "h", "echo x"),
    case("-m", "-c", "aes128-ctr", "-m", "hmac-sha2-256", "h", "echo x"),
    case("-b", "-b", "127.0.0.1", "h", "echo x"),
    case("-B", "-B", "lo", "h", "echo x", native="later"),
    case("-e none", "-e", "none", "h", "echo x"), case("-e ^x", "-e", "^x", "h", "echo x"),
    case("-i twice", "-i", "/no.such/dir", "-i", "@key@", "h", "echo x"),
    case("-q", "-q", "h", "echo out; echo err >&2"),
    case("-q, many", "-qqq", "h", "echo x"),
    case("-v", "-v", "h", "echo x; exit 3", says=(r"^(debug1: |hawser: )",), status=3),
    case("-vvv", "-vvv", "h", "echo x; exit 3", says=(r"^(debug1: |hawser: )",), status=3),
    case("-E", shell='"$@" -E log h "echo x; echo err >&2"; test -f log'),
    case("-E with -v", shell='"$@" -v -E log h "echo err >&2"; test -s log', says=None),
    case("-E appends", shell='echo kept >log; "$@" -vElog h true; head -1 log', prints="kept"),
    case("-F apart", "-F", "@config@", "h", "echo x", config=False),
    case("-F joined", "-F@config@", "h", "echo x", config=False),
    case("-F none", "-F", "none", "-p", "@port@", "-l", "@user@", "-i", "@key@",
         "-oUserKnownHostsFile=@dir@/known_hosts", "127.0.0.1", "echo x", config=False),
    case("-F /dev/null", "-F", "/dev/null", "-p", "@port@", "-l", "@user@", "-i", "@key@",
         "-oUserKnownHostsFile=@dir@/known_hosts", "127.0.0.1", "echo x", config=False),
    case("-F relative", "-F", "conf", "there", "echo x", config=False,
         files={"conf": "Include @config@\nHost there\n\tHostName 127.0.0.1\n\tPort @port@\n"
                "\tUser @user@\n\tIdentityFile @key@\n"
                "\tUserKnownHostsFile @dir@/known_hosts\n"}),
    case("-s", "-s", "h", "hello", stdin=b"x", prints="hello-subsystem"),
    case("-s after the host", "h", "-s", "hello", prints="hello-subsystem"),
    case("-s after the command", "h", "echo", "-s"),
    case("-s with blanks", "-s", "h", "hello", "there", says=("subsystem request failed on ",)),
    case("SessionType=subsystem", "-oSessionType=subsystem", "h", "hello",
         prints="hello-subsystem"),
    case("unknown subsystem", "-s", "h", "bogus", says=("subsystem request failed on ",),
         status=255),
    case("SessionType=default", "-oSessionType=default", "h", "echo x"),
    case("RemoteCommand", "rc", prints="remote-command"),
    case("RemoteCommand with -T", "-T", "rc"),
    case("RemoteCommand=none", "-oRemoteCommand=none", "rc", "echo x"),
    case("RemoteCommand with tokens", "-oRemoteCommand=echo %h %p %r %%", "h"),
    case("LogLevel=QUIET", "-oLogLevel=QUIET", "h", "echo x; echo err >&2"),
    case("LogLevel=ERROR", "-oLogLevel=ERROR", "h", "echo x"),
    case("LogLevel=DEBUG", "-oLogLevel=DEBUG", "h", "echo x", says=(r"debug1: |hawser: ",)),
    case("Compression", "-oCompression=yes", "h", "seq 1000 | " + DIGEST),
    case("AddressFamily=inet", "-oAddressFamily=inet", "h", "echo x"),
    case("ConnectTimeout", "-oConnectTimeout=10", "h", "echo x"),
    case("ConnectionAttempts", "-oConnectionAttempts=2", "h", "echo x"),
    case("IdentitiesOnly", "-oIdentitiesOnly=yes", "h", "echo x"),
    case("CanonicalizeHostname", "-oCanonicalizeHostname=yes", "h", "echo x"),
    case("ServerAliveInterval", "-oServerAliveInterval=5", "h", "echo x"),
    case("HostKeyAlias", "-oHostKeyAlias=[127.0.0.1]:@port@", "h", "echo x"),
    case("known hosts with ~", "-oUserKnownHostsFile=~/nothing @dir@/known_hosts", "h", "echo x"),
    case("StrictHostKeyChecking=no", "-oStrictHostKeyChecking=no",
         "-oUserKnownHostsFile=@own@/known", "h", "echo x",
         says=("Permanently added '\\[127.0.0.1\\]:@port@' \\(ED25519\\) to the list of known",)),
    case("accept-new, quiet", "-q", "-oStrictHostKeyChecking=accept-new",
         "-oUserKnownHostsFile=@own@/known", "h", "echo x"),
    case("no known hosts at all", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null",
         "h", "echo x", says=("Permanently added '\\[127.0.0.1\\]:@port@' \\(ED25519\\) to the",)),
    case("HashKnownHosts", shell='"$@" -q -oStrictHostKeyChecking=no -oHashKnownHosts=yes '
         '-oUserKnownHostsFile=known h true; grep -c "^|1|" known'),
    case("known hosts line", shell='"$@" -q -oStrictHostKeyChecking=no -oHashKnownHosts=no '
         '-oUserKnownHostsFile=known -oUpdateHostKeys=no h true; cat known', prints="ssh-ed25519"),
]

ENVIRONMENT = [
    case("SendEnv", "-oSendEnv=HW_A", "h", "echo $HW_A", env={"HW_A": "one"}, prints="one"),
    case("SendEnv pattern", "-oSendEnv=HW_*", "h", "echo $HW_A$HW_B",
         env={"HW_A": "1", "HW_B": "2"}, prints="12"),
    case("SendEnv, two lines", "-oSendEnv=HW_A", "-oSendEnv=HW_B", "h", "echo $HW_A$HW_B",
         env={"HW_A": "1", "HW_B": "2"}),
    case("SendEnv taken back", "-oSendEnv=HW_* -HW_B", "h", "echo $HW_A$HW_B.",
         env={"HW_A": "1", "HW_B": "2"}),
    case("SendEnv unset", "-oSendEnv=HW_A", "h", "echo ${HW_A-unset}"),
    case("SendEnv empty", "-oSendEnv=HW_A", "h", "echo ${HW_A-unset}.", env={"HW_A": ""}),
    case("SendEnv refused by the server", "-oSendEnv=OTHER", "h", "echo ${OTHER-unset}",
         env={"OTHER": "x"}),
    case("SendEnv with odd bytes", "-oSendEnv=HW_A", "h", "printf %s \"$HW_A\" | od -An -tx1",
         env={"HW_A": "a b\n\"ü$'"}),
    case("SetEnv", "-oSetEnv=HW_A=set", "h", "echo $HW_A", prints="set"),
    case("SetEnv with quotes", "-o", 'SetEnv="HW_A=a b" HW_B=c', "h", "echo \"$HW_A,$HW_B\""),
    case("SetEnv and SendEnv", "-oSendEnv=HW_A", "-oSetEnv=HW_A=set", "h", "echo $HW_A",
         env={"HW_A": "sent"}),
    case("LANG", "-oSendEnv=LANG LC_*", "h", "echo $LANG $LC_ALL",
         env={"LANG": "C.UTF-8", "LC_ALL": "C"}),
    case("TERM is not sent without a terminal", "h", "echo ${TERM-unset}", env={"TERM": "vt52"}),
    case("server's variables", "h", "echo $USER $LOGNAME $SHELL $PATH; "
         "echo $SSH_CONNECTION | wc -w; echo ${SSH_TTY-none}"),
    case("working directory", "h", "pwd"),
    case("umask", "h", "umask"),
    case("descriptors", "h", "ls /proc/self/fd | wc -l"),
    case("no environment", shell='env -i HAWSER_SOCKET="$XDG_RUNTIME_DIR/hawser/v1.sock" '
         'HAWSER_FALLBACK=no "$@" h "echo x"'),
    case("TERM unset", "h", "echo x", env={"TERM": None}),
    case("HOME elsewhere", "h", "echo x", env={"HOME": "/no.such/dir"}),
    case("no agent behind SSH_AUTH_SOCK", "h", "echo x", env={"SSH_AUTH_SOCK": "/no.such/dir"}),
    case("Match exec sees the environment", "-F", "conf", "h", "echo $HW_A", config=False,
         env={"WANT": "yes"}, prints="matched",
         files={"conf": "Match exec \"test $WANT = yes\"\n\tSetEnv HW_A=matched\n"
                "Include @config@\n"}),
    case("Match exec that fails", "-F", "conf", "h", "echo ${HW_A-not}", config=False,
         files={"conf": "Match exec false\n\tSetEnv HW_A=matched\nMatch all\nInclude @config@\n"}),
    case("Match user", "-F", "conf", "h", "echo ${HW_A-not}", config=False,
         files={"conf": "Match originalhost h\n\tSetEnv HW_A=matched\nInclude @config@\n"}),
    case("identity by ${}", "-oIdentityFile=${THEKEY}", "-oIdentitiesOnly=yes", "h", "echo x",
         env={"THEKEY": "@key@"}),
    case("identity that is not there", "-oIdentityFile=/no.such/dir", "-i", "@key@", "h", "echo x"),
    case("identity by %d", "-oIdentityFile=%d/none", "-i", "@key@", "h", "echo x",
         says=(), prints="x"),
    case("relative identity", "-i", "mine", "h", "echo x", files={"mine": "no key\n"},
         says=("mine|",)),
]

# No server is asked.
ANSWERS = [
    case("-V", "-V", native=False, status=0),
    case("-V with others", "-4V", "h", native=False, status=0),
    *[case(f"-Q {what}", "-Q", what, native=False, status=0)
      for what in ("cipher", "mac", "kex", "key", "sig", "help", "PubkeyAcceptedAlgorithms")],
    case("-G", "-G", "h", native=False, prints="hostname 127.0.0.1"),
    case("-G behind the host", "h", "-G", native=False, prints="hostname 127.0.0.1"),
    case("-G with options", "-G", "-p", "1", "-oBatchMode=yes", "-J", "x", "-L", "1:h:2", "u@h",
         "command", native=False, prints="port 1"),
    case("-G unknown host", "-F", "none", "-G", "nowhere", config=False, native=False,
         prints="hostname nowhere"),
    case("-G bad option", "-G", "-oBogus=1", "h", native=False, status=255),
    case("-GF missing", "-GF", "/no.such/dir", "h", native=False, config=False, status=255),
]

@pytest.mark.parametrize("c", params(OPTIONS))
def test_options(world, c):
    """Options of the command line and keywords of ssh_config."""
    check(world, c)


@pytest.mark.parametrize("c", params(ANSWERS))
def test_answers(world, c):
    """-V, -Q and -G."""
    check(world, c)


@pytest.mark.parametrize("c", params(ENVIRONMENT))
def test_environment(world, c):
    """What of the caller's environment matters, and what reaches the command."""
    check(world, c)
