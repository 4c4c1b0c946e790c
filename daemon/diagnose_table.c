/* What the user reads, by class. Two lines at most: what failed, for which host, the likely cause;
 * then the next step. */
#include "daemon/diagnose.h"

#define PLACE true

static const struct diagnose_row rows[] = {
	[CAUSE_NONE] = {"", "", "", 0, false},
	[CAUSE_CONFIG] = {"ssh does not accept the options for {host}: {said}",
			  "correct the option or the configuration file that is named", "",
			  SHOW_SAID, PLACE},
	[CAUSE_RESOLVE] = {"Could not resolve hostname {host}: {said}",
			   "check the spelling and, for a name that is known inside only, the VPN; "
			   "or add a Host entry with HostName to ~/.ssh/config",
			   "HostName (ssh_config)", 0, PLACE},
	[CAUSE_REFUSED] =
		{"connect to web1 (10.0.0.5: no answer, ::1: Connection refused) port 22: "
		 "Connection refused",
		 "no SSH server listens there, or a firewall rejects: check the port "
		 "(-p) and that sshd runs",
		 "Port (ssh_config)", 0, PLACE},
	[CAUSE_UNREACHABLE] = {"connect to {host}: {said}",
			       "check this machine's network, VPN and routes",
			       "ProxyJump, BindAddress (ssh_config)", SHOW_MACHINE, PLACE},
	[CAUSE_CONNECT_TIMEOUT] = {"connect to web1 (10.0.0.5, 10.0.0.6) port 22: Connection timed "
				   "out",
				   "the host is down, or a firewall drops the packets silently: "
				   "try another network, or ping it",
				   "ConnectTimeout (ssh_config)", SHOW_MACHINE, PLACE},
	[CAUSE_PROXY] = {"{host}: its ProxyCommand ended with status 1",
			 "run the command by itself to see what it says",
			 "ProxyCommand (ssh_config)", 0, PLACE},
	[CAUSE_JUMP] = {"jump host {host}: it refused to forward",
			"its sshd has to allow it and to reach the host itself",
			"AllowTcpForwarding, PermitOpen (sshd_config)", SHOW_SAID, PLACE},
	[CAUSE_CLOSED_BEFORE_BANNER] =
		{"{host}: the connection was closed before the server said anything",
		 "the server refuses this address (TCP wrappers, MaxStartups, PerSourcePenalties, "
		 "fail2ban), is starting up, or is no SSH server",
		 "MaxStartups, PerSourceMaxStartups (sshd_config)", SHOW_TIMES, PLACE},
	[CAUSE_NOT_SSH] = {"{host}: no SSH server answers there: it said \"{said}\"",
			   "check the host and port (-p, Port in ssh_config)", "Port (ssh_config)",
			   0, PLACE},
	[CAUSE_NO_COMMON_ALGORITHM] =
		{"{host}: Unable to negotiate: no matching host key type found. Their offer: "
		 "ssh-rsa. Ours: "
		 "ssh-ed25519",
		 "allow one that the server offers for this host, in ssh_config; what libssh "
		 "lacks, the real "
		 "ssh may have",
		 "KexAlgorithms, HostKeyAlgorithms, Ciphers, MACs (ssh_config)", 0, PLACE},
	[CAUSE_KEX] = {"{host}: key exchange failed: {said}",
		       "`ssh -v` to the same host shows whether the real ssh gets further", "",
		       SHOW_TIMES | SHOW_TCP, PLACE},
	[CAUSE_HOSTKEY_UNKNOWN] = {"{host}: Host key verification failed: it is not known",
				   "compare the fingerprint with the server's and accept it, or "
				   "add the key to known_hosts",
				   "StrictHostKeyChecking, UserKnownHostsFile (ssh_config)", 0,
				   PLACE},
	[CAUSE_HOSTKEY_CHANGED] =
		{"{host}: Host key verification failed: it has changed",
		 "ask the server's administrator; if the change is real, ssh-keygen -R takes the "
		 "old key away",
		 "UserKnownHostsFile (ssh_config)", 0, PLACE},
	[CAUSE_HOSTKEY_REVOKED] = {"{host}: Host key verification failed: it is revoked",
				   "do not log in there: ask the server's administrator",
				   "RevokedHostKeys (ssh_config)", 0, PLACE},
	[CAUSE_AUTH] =
		{"{host}: Permission denied (publickey). User root: no agent (SSH_AUTH_SOCK is "
		 "not set); key ~/.ssh/id_ed25519 (SHA256:...) refused",
		 "check the user name, and that one of the keys (ssh-add -l, IdentityFile) is in "
		 "the account's authorized_keys",
		 "User, IdentityFile, IdentityAgent, PreferredAuthentications "
		 "(ssh_config)",
		 0, PLACE},
	[CAUSE_AUTH_TOO_MANY] =
		{"{host}: the server ended the login: too many authentication failures",
		 "too many keys were offered before the right one: set IdentityFile and "
		 "IdentitiesOnly yes for this host, or take keys out of the agent (ssh-add -d)",
		 "IdentitiesOnly (ssh_config); MaxAuthTries (sshd_config)", 0, PLACE},
	[CAUSE_LOGIN_TIMEOUT] =
		{"{host}: {stage} was not finished in time",
		 "the server or the path to it is slow or stuck: `ssh -v` shows where, and "
		 "ConnectTimeout how long to wait",
		 "ConnectTimeout (ssh_config)", SHOW_TIMES | SHOW_TCP | SHOW_MACHINE, PLACE},
	[CAUSE_PROMPT] = {"{host}: {stage} needs an answer, and nobody could be asked",
			  "run it from a terminal, or set SSH_ASKPASS", "BatchMode (ssh_config)", 0,
			  PLACE},
	[CAUSE_SESSION_LIMIT] =
		{"{host} refused to open another session beside 10 on its connection: open failed",
		 "its MaxSessions (sshd_config) allows no more; hawser opens further connections, "
		 "as "
		 "many as `transports` in hawser.conf says",
		 "MaxSessions (sshd_config); transports (hawser.conf)", 0, PLACE},
	[CAUSE_CHANNEL] = {"{host}: the server refused the request",
			   "the server's log has its reason",
			   "PermitTTY, AllowTcpForwarding, Subsystem (sshd_config)", 0, PLACE},
	[CAUSE_SERVER_CLOSED] =
		{"{host} closed the connection without a word, {age} after the login",
		 "its sshd was stopped or killed, the machine restarts, or what reached it was "
		 "damaged on the way: its log has the reason; run the command again",
		 "", SHOW_ALL, false},
	[CAUSE_RESET] = {"the connection to {host} was reset",
			 "the server restarted or crashed, or a firewall or NAT on the way dropped "
			 "the connection: run the command again",
			 "ServerAliveInterval (ssh_config)", SHOW_ALL, false},
	[CAUSE_KEEPALIVE] =
		{"{host} answered none of the last {missed} keepalives: the path to it is dead",
		 "check the network between here and there (VPN, wireless, NAT or firewall "
		 "time-outs), and that the host is up; the next command opens a new connection",
		 "ServerAliveInterval, ServerAliveCountMax (ssh_config)", SHOW_ALL, false},
	[CAUSE_PROTOCOL] = {"the connection to {host} failed: {said}",
			    "the server's log has its reason; `hawserd --log-level debug` tells "
			    "more of this side",
			    "", SHOW_TIMES | SHOW_TCP, false},
	[CAUSE_LIMIT] = {"{host}: a limit of hawserd's own is reached",
			 "raise the limit that is named (hawser.conf), or try again when less is "
			 "under way",
			 "queue, logins, transports (hawser.conf)", 0, PLACE},
	[CAUSE_REFUSES_SOURCE] =
		{"{host} takes no logins from this address at the moment: it closes each "
		 "connection before its banner",
		 "wait some minutes before the next try (MaxStartups, PerSourcePenalties, "
		 "fail2ban), or let its administrator look for this address",
		 "MaxStartups, PerSourcePenalties (sshd_config)", SHOW_TIMES | SHOW_SAID, false},
	[CAUSE_LOGIN_GRACE] =
		{"{host}: the server ended the login after {age}: its login grace time is over",
		 "answer sooner, put the key into an agent, or raise LoginGraceTime in the "
		 "server's sshd_config",
		 "LoginGraceTime (sshd_config)", SHOW_TIMES, false},
	[CAUSE_IDLE_DROP] =
		{"the connection to {host} was lost after {gap} of quiet: most likely a NAT or "
		 "firewall on the way forgot it",
		 "set ServerAliveInterval for this host below that time; the next command opens a "
		 "new connection",
		 "ServerAliveInterval (ssh_config); the timeout of the NAT or firewall", SHOW_ALL,
		 false},
	[CAUSE_TIMED_CLOSE] =
		{"the connection to {host} was closed after {age}, as {age_times} before: a "
		 "proxy, load balancer or policy limits its age",
		 "set max-age for this host in hawser.conf below {age}, or raise the limit of "
		 "the proxy or load balancer",
		 "ServerAliveInterval (ssh_config), max-age (hawser.conf); the time limit of the "
		 "proxy "
		 "or load balancer",
		 SHOW_ALL, false},
	[CAUSE_MTU] =
		{"{host}: small packets arrive and large ones do not, in {stage}: a path MTU "
		 "black hole",
		 "lower the MTU of this machine's interface (ip link set dev DEV mtu 1280), or let "
		 "the VPN's gateway clamp TCP_MAXSEG",
		 "MTU of the interface; TCP_MAXSEG (MSS clamping) at the gateway",
		 SHOW_TIMES | SHOW_TCP | SHOW_LEARNT, false},
	[CAUSE_CORRUPT] =
		{"the connection to {host} ended in {stage}: a packet arrived damaged ({said})",
		 "run the command again; if it comes back, suspect a network card's offloading "
		 "(ethtool -K DEV tso off gro off), a VPN or middlebox, or bad memory",
		 "", SHOW_TIMES | SHOW_TCP | SHOW_SAID, false},
	[CAUSE_SERVER_GAVE_UP] =
		{"{host} closed the connection because it had no answer from this side: what "
		 "was sent to it did not arrive",
		 "check the network on the way; ClientAliveInterval times ClientAliveCountMax is "
		 "how long the server waits",
		 "ClientAliveInterval, ClientAliveCountMax (sshd_config)", SHOW_ALL, false},
	[CAUSE_CHANNEL_TIMEOUT] =
		{"{host} closed the session without an exit status after {quiet} of quiet: most "
		 "likely its ChannelTimeout",
		 "raise ChannelTimeout in the server's sshd_config, or let the session say "
		 "something from time to time",
		 "ChannelTimeout (sshd_config)", SHOW_TIMES, PLACE},
	[CAUSE_SERVER_SHUTDOWN] = {"{host} is shutting down or starting up: {said}",
				   "run the command again once it is up", "", SHOW_TIMES, false},
	[CAUSE_SLEEP] = {"the connection to {host} was lost while this machine slept ({slept}, "
			 "until {slept_ago} ago)",
			 "run the command again; ClientAliveCountMax 0 in the server's "
			 "sshd_config lets connections outlive a sleep",
			 "ClientAliveInterval, ClientAliveCountMax (sshd_config)", SHOW_ALL, false},
	[CAUSE_ADDRESS_CHANGED] =
		{"the connection to {host} was lost: this machine's address on it went away "
		 "{address_ago} before (another network, or a VPN)",
		 "run the command again: it opens a new connection from the present address",
		 "reconnect (hawser.conf)", SHOW_ALL, false},
	[CAUSE_ROUTE_CHANGED] =
		{"the connection to {host} was lost after this machine's routes changed "
		 "{route_ago} before (a VPN, or another network)",
		 "check that the way to the host is as it should be (ip route get ADDRESS); the "
		 "next command opens a new connection",
		 "reconnect (hawser.conf)", SHOW_ALL, false},
	[CAUSE_PATH_DEAD] =
		{"{host} does not answer any more: nothing came from it for {quiet}, the path to "
		 "it is dead",
		 "check the network between here and there, and that the host is up; the next "
		 "command opens a new connection",
		 "ServerAliveInterval, ServerAliveCountMax (ssh_config)", SHOW_ALL, false},
	[CAUSE_EXITS_AT_ONCE] =
		{"{host}: the login worked, but the shell ended at once, {age} after its start",
		 "a forced command (authorized_keys, ForceCommand), a shell like nologin or "
		 "false, or its start-up files end it: `hawser HOST true` tells whether commands "
		 "run",
		 "ForceCommand (sshd_config); the account's shell", 0, PLACE},
	[CAUSE_LOCKED] = {"hawser is locked: it opens and keeps no connections",
			  "hawserctl unlock lets it again", "", 0, PLACE},
	[CAUSE_EXPIRED] = {"the connection to {host} reached its maximum age",
			   "the next command opens a new connection",
			   "max-age (hawser.conf); the certificate's end of validity", SHOW_TIMES,
			   PLACE},
	[CAUSE_IDLE] = {"the connection to {host} was not used for as long as it is held",
			"the next command opens a new connection",
			"hold (hawser.conf); ControlPersist (ssh_config)", SHOW_TIMES, PLACE},
	[CAUSE_CLOSED_BY_USER] = {"the connection to {host} was closed on request",
				  "the next command opens a new connection", "", SHOW_TIMES, PLACE},
	[CAUSE_DAEMON_STOPPED] = {"hawserd was stopped", "run the command again: it starts anew",
				  "", SHOW_TIMES, PLACE},
	[CAUSE_CLIENT_GONE] = {"{host}: the client went away before the end",
			       "it was ended by a signal or its terminal was closed", "",
			       SHOW_TIMES, PLACE},
	[CAUSE_INTERNAL] = {"{host}: an error in hawser: {said}",
			    "please report it, with `hawserctl why`", "", SHOW_ALL, PLACE},
};

const struct diagnose_row *diagnose_row(enum cause_class cls)
{
	return &rows[(size_t)cls < HW_ARRAY_LEN(rows) ? cls : CAUSE_INTERNAL];
}

const char *diagnose_setting(enum cause_class cls)
{
	return diagnose_row(cls)->setting;
}
