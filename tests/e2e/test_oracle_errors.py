"""ssh as the oracle: what is refused, by whom, in which words, with which status."""
import pytest

from oracle import case, check, params, world  # noqa: F401

USAGE = [
    case("no words at all", status=255),
    case("no host", "-T", status=255),
    case("unknown option", "-9", "h", "true", status=255),
    case("unknown option in a bundle", "-q9", "h", "true", status=255),
    case("unknown option after the host", "h", "-9", "true", status=255),
    case("long option", "--version", status=255),
    case("--help", "--help", status=255),
    case("-h", "-h", status=255),
    case("-1", "-1", "h", native=False),
    case("option without a value", "-p", status=255),
    case("option without a value after the host", "h", "-l", status=255),
    case("-o without a value", "h", "-o", status=255),
    case("empty host", "", "true", status=255),
    case("host with a dash behind --", "--", "-h", "true", status=255),
    case("user without host", "@user@@", "true", status=255,
         says=("Could not resolve hostname : ",)),
    case("host without user", "@h", "true"),
    case("ssh:// without host", "ssh://", "true", status=255),
    case("ssh:// with a path", "ssh://h/path", "true", status=255),
    case("ssh:// with a bad port", "ssh://h:x", "true", status=255),
    case("ssh:// with port 0", "ssh://h:0", "true", status=255),
    case("host with a space", "a b", "true", status=255),
    case("host with odd characters", "a;b", "true", status=255),
    case("user with odd characters", "-l", "a;b", "h", "true", status=255),
    case("very long host", "h" * 2000, "true", status=255,
         says=("Could not resolve hostname hhhh",)),
]

VALUES = [
    case("-p text", "-p", "x", "h", "true"), case("-p 0", "-p", "0", "h", "true"),
    case("-p too large", "-p", "65536", "h", "true"), case("-p negative", "-p", "-1", "h"),
    case("-p empty", "-p", "", "h", "true"), case("-p trailing", "-p", "22x", "h", "true"),
    case("-oPort bad", "-oPort=x", "h", "true"),
    case("-oPort empty", "-oPort=", "h", "true"),
    case("-c unknown", "-c", "bogus", "h", "true"),
    case("-m unknown", "-m", "bogus", "h", "true"),
    case("-oCiphers unknown", "-oCiphers=bogus", "h", "true"),
    case("-oKexAlgorithms unknown", "-oKexAlgorithms=bogus", "h", "true"),
    case("-oHostKeyAlgorithms unknown", "-oHostKeyAlgorithms=bogus", "h", "true"),
    case("-oMACs unknown", "-oMACs=bogus", "h", "true"),
    case("-e bad", "-e", "xyz", "h", "true"),
    case("-e empty", "-e", "", "h", "true"),
    case("-o unknown keyword", "-oBogus=yes", "h", "true", status=255),
    case("-o unknown, ignored", "-oIgnoreUnknown=Bogus", "-oBogus=yes", "h", "echo x"),
    case("-o without argument", "-oPort", "h", "true", status=255),
    case("-o with text behind", "-oPort=22 x", "h", "true", status=255),
    case("-o empty", "-o", "", "h", "true"),
    case("-o blank", "-o", " ", "h", "true"),
    case("-o comment", "-o", "#x", "h", "echo x"),
    case("-o no yes or no", "-oBatchMode=maybe", "h", "true", status=255),
    case("-o bad number", "-oConnectTimeout=x", "h", "true", status=255),
    case("-o negative number", "-oConnectionAttempts=-1", "h", "true", status=255),
    case("-o unbalanced quote", "-o", 'User="x', "h", "true", status=255),
    case("-o bad LogLevel", "-oLogLevel=LOUD", "h", "true", status=255),
    case("-o bad AddressFamily", "-oAddressFamily=ipx", "h", "true", status=255),
    case("-o bad StrictHostKeyChecking", "-oStrictHostKeyChecking=perhaps", "h", status=255),
    case("-o bad EscapeChar", "-oEscapeChar=abc", "h", "true", status=255),
    case("-o bad RequestTTY", "-oRequestTTY=perhaps", "h", "true", status=255),
    case("-o bad SessionType", "-oSessionType=x", "h", "true", status=255),
    case("-o bad IPQoS", "-oIPQoS=x", "h", "true", status=255),
    case("-o bad SetEnv", "-oSetEnv=noequals", "h", "true", status=255),
    case("-o bad RekeyLimit", "-oRekeyLimit=x", "h", "true", status=255),
    case("-o bad PreferredAuthentications", "-oPreferredAuthentications=x", "h", "true",
         native=False, says=("Permission denied",), status=255),
    case("-o bad token", "-oRemoteCommand=echo %Q", "h", status=255),
    case("-o two Hosts", "-oHost=x", "h", "echo x"),
    case("-F missing", "-F", "/no.such/dir", "h", "true", config=False, status=255),
    case("-F a folder", "-F", "/", "h", "true", config=False, status=255,
         says=("Could not resolve hostname h: ",)),
    case("-F bad keyword", "-F", "conf", "h", "true", config=False, status=255,
         files={"conf": "Host *\n\tBogus yes\n"}),
    case("-F bad values", "-F", "conf", "h", "true", config=False, status=255,
         files={"conf": "Port x\nBatchMode perhaps\nInclude @config@\n"}),
    case("-F missing Include", "-F", "conf", "h", "echo x", config=False,
         files={"conf": "Include /no.such/dir\nInclude @config@\n"}, prints="x"),
    case("-F Include without a name", "-F", "conf", "h", "echo x", config=False,
         files={"conf": "Include\nInclude @config@\n"}),
    case("-F bad Match", "-F", "conf", "h", "true", config=False, status=255,
         files={"conf": "Match bogus x\nInclude @config@\n"}),
    case("-F recursive", "-F", "conf", "h", "true", config=False, status=255,
         files={"conf": "Include @own@/conf\n"}),
    case("-F binary", "-F", "conf", "h", "true", config=False,
         files={"conf": "\x01\x02\x03\n"}),
    case("-F writable by others", shell='chmod 666 conf; "$@" -F conf h true', config=False,
         files={"conf": "Include @config@\n"}, status=0),
    case("-E impossible", "-E", "/no.such/dir/log", "h", "true", status=1),
    case("-E a folder", "-E", "/", "h", "true", status=1),
    case("-i missing", "-i", "/no.such/dir", "h", "echo x"),
    case("-i missing, twice", shell='for i in 1 2; do "$@" -i /no.such/dir h "echo x"; done',
         prints="x\nx"),
    case("-i missing, quiet", "-q", "-i", "/no.such/dir", "h", "echo x",
         why="ssh warns of -i before -q counts; hawser is quiet (session.c, on_resolved)"),
    case("-i a folder", "-i", "/", "-i", "@key@", "h", "echo x", says=(), status=0),
    case("-b bad", "-b", "192.0.2.77", "h", "true", status=255,
         says=("Cannot assign requested address",)),
    case("-b unknown name", "-b", "no.such.name.invalid", "h", "true", native="later",
         says=("no.such.name.invalid",), status=255),
    case("-B bad", "-B", "nosuchif", "h", "true", native="later", says=("nosuchif",), status=255),
    case("-J bad", "-J", "a b", "h", "true", status=255,
         says=("Could not resolve hostname a",)),
    case("-J empty", "-J", "", "h", "true", native=False),
    case("-J and ProxyCommand", "-J", "h", "-oProxyCommand=x", "h", native=False, says=()),
    case("-w bad", "-w", "x", "h", "true", native=False, status=255),
    case("-O bad verb", "-O", "bogus", "h", native=False, status=255),
    case("-O check, no master", "-O", "check", "-S", "@own@/none", "h",
         status=255),
    case("-O exit, no master", "-O", "exit", "-S", "@own@/none", "elsewhere", status=255, says=()),
    case("-Q bad", "-Q", "bogus", native=False, status=255),
    case("-s without a subsystem", "-s", "h", status=255,
         says=("You must specify a subsystem to invoke",)),
    case("-s and RemoteCommand", "-s", "-oRemoteCommand=hello", "h", status=255),
    case("command twice", "-oRemoteCommand=x", "h", "true", status=255),
    case("command and RemoteCommand", "rc", "true", status=255),
    case("-f without a command", "-f", "h", native="later", status=255),
    case("-t without a terminal", "-t", "h", "tty", status=1),
    case("-t, quiet", "-qt", "h", "tty", status=1),
    case("RequestTTY without a terminal", "-oRequestTTY=yes", "h", "tty", status=1),
]

CONNECTING = [
    case("unknown host", "-F", "none", "no.such.host.invalid", "true", config=False, status=255,
         says=("Could not resolve hostname no.such.host.invalid: "
               "(Name or service not known|Temporary failure)",)),
    case("unknown HostName", "-oHostName=no.such.host.invalid", "h", "true", status=255,
         says=("Could not resolve hostname no.such.host.invalid: ",)),
    case("unknown host, quiet", "-q", "-oHostName=no.such.host.invalid", "h", "true", status=255),
    case("AddressFamily that it lacks", "-6", "h", "true", status=255,
         says=("Could not resolve hostname 127.0.0.1: |127.0.0.1.*address family",)),
    case("refused", "-p", "@refused@", "h", "true", status=255,
         says=("connect to .*127.0.0.1.* port @refused@: Connection refused",)),
    case("refused, quiet", "-q", "-p", "@refused@", "h", "true", status=255),
    case("refused, LogLevel=FATAL", "-oLogLevel=FATAL", "-p", "@refused@", "h", "true",
         status=255, why="to ssh this is an error, not a fatal one; hawser still says it"),
    case("refused, LogLevel=ERROR", "-oLogLevel=ERROR", "-p", "@refused@", "h", "true",
         status=255, says=("Connection refused",)),
    case("refused with -E", shell='"$@" -E log -p @refused@ h true; echo $?; '
         'grep -o "Connection refused" log', prints="Connection refused"),
    case("unreachable", "-oHostName=255.255.255.255", "h", "true", status=255,
         says=("connect to .*255.255.255.255.* port @port@: (Network|Permission|.*unreachable)",)),
    case("nobody answers", "-oConnectTimeout=1", "-p", "@silent@", "h", "true", status=255,
         says=("timed out",)),
    case("no ssh there", "-p", "@web@", "h", "true", status=255,
         says=("banner|not SSH|identification",)),
    case("closes at once", "-p", "@closes@", "h", "true", status=255, says=("closed|reset",)),
]

LOGIN = [
    case("unknown key, BatchMode", "stranger", "true", status=255,
         says=("ED25519 host key .*is (not )?known for \\[127.0.0.1\\]:@port@",
               "Host key verification failed")),
    case("unknown key, ask", "-oStrictHostKeyChecking=ask", "stranger", "true", status=255,
         says=("Host key verification failed",)),
    case("unknown key, quiet", "-q", "stranger", "true", status=255),
    case("changed key", "changed", "true", status=255,
         says=("REMOTE HOST IDENTIFICATION HAS CHANGED", "@fingerprint@",
               "Host key verification failed", "@dir@/wrong_hosts:1",
               "ssh-keygen -f .@dir@/wrong_hosts. -R .\\[127.0.0.1\\]:@port@")),
    case("changed key, quiet", "-q", "changed", "true", status=255),
    case("changed key, unchecked", "-oStrictHostKeyChecking=no", "changed", "echo in", status=0,
         says=("REMOTE HOST IDENTIFICATION HAS CHANGED",)),
    case("wrong key", "wrongkey", "true", status=255,
         says=("Permission denied \\(publickey\\)", "@user@")),
    case("wrong key, quiet", "-q", "wrongkey", "true", status=255),
    case("no key", "-oBatchMode=yes", "-oIdentityFile=none", "-oIdentitiesOnly=yes",
         "-F", "none", "-oUserKnownHostsFile=@dir@/known_hosts", "-p", "@port@", "-l", "@user@",
         "127.0.0.1", "true", config=False, status=255,
         says=("Permission denied \\(publickey\\)",)),
    case("unknown user", "-l", "nosuchuser", "h", "true", status=255,
         says=("Permission denied \\(publickey\\)", "nosuchuser@127.0.0.1|user nosuchuser")),
    case("only a method that the server lacks", "-oPreferredAuthentications=password",
         "-oBatchMode=yes", "h", "true", status=255, says=("Permission denied \\(publickey\\)",)),
    case("no methods left", "-oPubkeyAuthentication=no", "-oPasswordAuthentication=no",
         "-oKbdInteractiveAuthentication=no", "h", "true", status=255, native=False,
         says=("Permission denied \\(publickey\\)",)),
    case("publickey off", "-oPubkeyAuthentication=no", "-oBatchMode=yes", "h", "true", status=255,
         says=("Permission denied \\(publickey\\)",)),
    case("kbd-interactive off", "-oKbdInteractiveAuthentication=no", "wrongkey", "true",
         status=255, says=("Permission denied \\(publickey\\)",)),
    case("key that others can read", shell='chmod 644 key; "$@" -oIdentityFile=none '
         '-oBatchMode=yes -i key wrongkey true', files={"key": "x\n"}, status=255,
         says=("Permission denied \\(publickey\\)",)),
    case("key file that is none", "-oBatchMode=yes", "-i", "mine", "wrongkey", "true",
         files={"mine": "no key\n"}, status=255, says=("Permission denied \\(publickey\\)",)),
    case("no common cipher", "-c", "aes128-cbc", "h", "true", native=False, status=255,
         says=("no matching cipher|Unable to negotiate",)),
]


@pytest.mark.parametrize("c", params(USAGE))
def test_usage(world, c):
    """What is no command line of ssh's."""
    check(world, c)


@pytest.mark.parametrize("c", params(VALUES))
def test_values(world, c):
    """Options and keywords with values that cannot be."""
    check(world, c)


@pytest.mark.parametrize("c", params(CONNECTING))
def test_connecting(world, c):
    """Servers that cannot be reached."""
    check(world, c)


@pytest.mark.parametrize("c", params(LOGIN))
def test_login(world, c):
    """Servers that are not trusted, or do not trust us."""
    check(world, c)
