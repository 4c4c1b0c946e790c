"""ssh as the oracle: servers that do not let everybody do everything, and servers that go away."""
import pytest

from oracle import case, check, params, world  # noqa: F401
from util import holds_for, read_text


def more_servers(world):
    """Hosts of their own for what a whole server is set to."""
    for name, text in (("banner", "Authorised use only\n\ttab, zażółć, %s \\ \r\n\n  no end"),
                       ("rude", "Authorised use \x1b[1monly\x07\n")):
        file = world.box.dir / f"{name}.txt"
        file.write_bytes(text.encode())
        world.server(name, Banner=str(file))
    world.server("strict", PermitTTY="no", AllowTcpForwarding="no", AllowAgentForwarding="no",
                 AllowStreamLocalForwarding="no", AcceptEnv="none")
    world.server("forced", ForceCommand='echo "forced, for: $SSH_ORIGINAL_COMMAND"; exit 4')
    world.server("nobody", AllowUsers="somebody-else")
    world.server("twice", PasswordAuthentication="yes", AuthenticationMethods="publickey,password")
    world.server("local", AllowTcpForwarding="local")
    world.server("chroot", ChrootDirectory="/no.such/dir")


SERVERS = [
    case("banner", "-oTCPKeepAlive=no", "banner", "echo x", prints="x"),
    case("banner with escapes", "-oTCPKeepAlive=no", "rude", "echo x",
         why="ssh shows control characters as \\033; hawser passes a banner on byte for byte"),
    case("banner, quiet", "-q", "-oCompression=yes", "banner", "echo x"),
    case("banner, LogLevel=ERROR", "-oLogLevel=ERROR", "-oIPQoS=cs1", "banner", "echo x"),
    case("banner with -E", shell='"$@" -E log -oIPQoS=cs2 banner "echo x"; grep -c "only" log',
         prints="x\n0"),
    case("banner, then refused", "-oUser=stranger", "-oBatchMode=yes", "banner", "x",
         says=("Authorised use only\n\ttab, ", "Permission denied"), status=255),
    case("no terminal", "-tt", "strict", "tty", status=255,
         says=("PTY allocation request failed on channel 0",)),
    case("no terminal for a shell", "-tt", "strict", stdin=b"echo x; exit 5\n", status=255,
         says=("PTY allocation request failed on channel 0",)),
    case("no terminal, not wanted", "strict", "test -t 0", status=1),
    case("variables not accepted", "-oSendEnv=HW_A", "-oSetEnv=HW_B=1", "strict",
         "echo ${HW_A-none} ${HW_B-none}", env={"HW_A": "1"}, prints="none none"),
    case("-L prohibited", "-L", "@free@:127.0.0.1:@service@", "strict", "@talk@ w @free@",
         native="later", says=("open failed: administratively prohibited: open failed",)),
    case("-D prohibited", "-D", "@free@", "strict", "@talk@ w @free@ 127.0.0.1 @service@",
         native="later", out=False, says=("administratively prohibited: open failed",)),
    case("-W prohibited", "-W", "127.0.0.1:@service@", "strict", native="later", status=255,
         says=("administratively prohibited: open failed", "stdio forwarding failed")),
    case("-R prohibited", "-R", "@free@:h:1", "strict", "echo x", native="later", status=0,
         says=("remote port forwarding failed for listen port @free@",)),
    case("-R prohibited, ExitOnForwardFailure", "-oExitOnForwardFailure=yes", "-R", "@free@:h:1",
         "strict", "echo x", native="later", status=255,
         says=("remote port forwarding failed for listen port @free@",)),
    case("-R prohibited, -L not", "-L", "@free@:127.0.0.1:@service@", "-R", "@free2@:h:1",
         "local", "@talk@ w @free@", native="later", prints="hi w",
         says=("remote port forwarding failed for listen port @free2@",)),
    case("-J prohibited", "-J", "strict", "h", "echo x", native="later", status=255,
         says=("administratively prohibited",)),
    case("-A prohibited", shell='eval "$(ssh-agent)" >/dev/null; '
         '"$@" -A strict "echo ${SSH_AUTH_SOCK:+set}."; kill $SSH_AGENT_PID', native="later",
         says=()),
    case("forced command", "forced", "echo x", status=4, prints="forced, for: echo x"),
    case("forced shell", "forced", status=4, prints="forced, for: \n"),
    case("forced subsystem", "-s", "forced", "sftp", status=4),
    case("forced, quoted", "forced", "echo", "'a  b'", "\\$x", status=4),
    case("user not allowed", "-oBatchMode=yes", "nobody", "x", status=255,
         says=("Permission denied \\(publickey\\)",)),
    case("half of a login", "-oBatchMode=yes", "twice", "x", status=255,
         says=("Permission denied \\(password\\)",)),
    case("login refused after authentication", "chroot", "echo x", status=255, says=()),
]

GOING = [
    case("connection cut", "-oIPQoS=cs3", "h", "echo begun; sleep 0.2; kill -9 $PPID; sleep 100",
         prints="begun", status=255, says=("clos|reset|Broken pipe",)),
    case("connection cut, quiet", "-q", "-oIPQoS=cs4", "h", "kill -9 $PPID; sleep 100",
         status=255, says=()),
    case("after a cut", shell='"$@" -q -oIPQoS=cs5 h "kill -9 $PPID" </dev/null 2>&1; '
         '"$@" -oIPQoS=cs5 h "echo again"', prints="again"),
    case("output before a cut", "-q", "-oIPQoS=cs6", "h",
         "seq 2000; sleep 0.2; kill -9 $PPID; sleep 100", status=255, prints="2000\n", says=()),
]


@pytest.mark.parametrize("c", params(SERVERS))
def test_servers(world, c):
    """What a server does not allow, or does in its own way."""
    check(world, c)


@pytest.mark.parametrize("c", params(GOING))
def test_going(world, c):
    """Connections that end under a command."""
    check(world, c)


def test_server_without_sessions(box):
    """A server that refuses every session: an error as with ssh, and then the daemon rests."""
    full = box.server(MaxSessions="0")
    box.trust(full)
    box.host("full", full)
    result = box.run("full", "echo x")
    assert result.status == 255 and "open failed" in result.err
    holds_for(lambda: read_text(box.daemon_log).count("channel refused") < 5, 1, "it rests")
