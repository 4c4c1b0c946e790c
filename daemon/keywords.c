#include "daemon/keywords.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEYWORD_NAME_MAX 64 /* longer ones are not in the table */

/* Sorted by name (a test sees to it). Rows in the order: name, class, rule, value, title. Debian's
 * GSSAPI key exchange patch, and what OpenSSH up to 10.3 added since 9.2, are included. */
const struct keyword keywords_table[] = {
	{"addkeystoagent", KEYWORD_SESSION, RULE_DONE, NULL, "AddKeysToAgent"},
	{"addressfamily", KEYWORD_KEY, RULE_DONE, NULL, "AddressFamily"},
	{"batchmode", KEYWORD_SESSION, RULE_DONE, NULL, "BatchMode"},
	{"bindaddress", KEYWORD_KEY, RULE_DONE, NULL, "BindAddress"},
	{"bindinterface", KEYWORD_KEY, RULE_DONE, NULL, "BindInterface"},
	{"canonicaldomains", KEYWORD_NONE, RULE_DONE, NULL, "CanonicalDomains"},
	{"canonicalizefallbacklocal", KEYWORD_NONE, RULE_DONE, NULL, "CanonicalizeFallbackLocal"},
	{"canonicalizehostname", KEYWORD_NONE, RULE_DONE, NULL, "CanonicalizeHostname"},
	{"canonicalizemaxdots", KEYWORD_NONE, RULE_DONE, NULL, "CanonicalizeMaxDots"},
	{"canonicalizepermittedcnames", KEYWORD_NONE, RULE_DONE, NULL,
	 "CanonicalizePermittedCNAMEs"},
	{"casignaturealgorithms", KEYWORD_KEY, RULE_HARMLESS, NULL, "CASignatureAlgorithms"},
	{"certificatefile", KEYWORD_KEY, RULE_DONE, NULL, "CertificateFile"},
	{"channeltimeout", KEYWORD_SESSION, RULE_IF_SET, NULL, "ChannelTimeout"},
	{"checkhostip", KEYWORD_KEY, RULE_DONE, NULL, "CheckHostIP"},
	{"ciphers", KEYWORD_KEY, RULE_ALGORITHMS, NULL, "Ciphers"},
	{"clearallforwardings", KEYWORD_NONE, RULE_DONE, NULL, "ClearAllForwardings"},
	{"compression", KEYWORD_KEY, RULE_DONE, NULL, "Compression"},
	{"connectionattempts", KEYWORD_SESSION, RULE_DONE, NULL, "ConnectionAttempts"},
	{"connecttimeout", KEYWORD_SESSION, RULE_DONE, NULL, "ConnectTimeout"},
	{"controlmaster", KEYWORD_NONE, RULE_HARMLESS, NULL, "ControlMaster"},
	{"controlpath", KEYWORD_NONE, RULE_HARMLESS, NULL, "ControlPath"},
	{"controlpersist", KEYWORD_SESSION, RULE_DONE, NULL, "ControlPersist"},
	{"dynamicforward", KEYWORD_SESSION, RULE_DONE, NULL, "DynamicForward"},
	{"enableescapecommandline", KEYWORD_SESSION, RULE_DONE, NULL, "EnableEscapeCommandline"},
	{"enablesshkeysign", KEYWORD_NONE, RULE_HARMLESS, NULL, "EnableSSHKeysign"},
	{"escapechar", KEYWORD_SESSION, RULE_DONE, NULL, "EscapeChar"},
	{"exitonforwardfailure", KEYWORD_SESSION, RULE_DONE, NULL, "ExitOnForwardFailure"},
	{"fingerprinthash", KEYWORD_SESSION, RULE_DONE, NULL, "FingerprintHash"},
	{"forkafterauthentication", KEYWORD_SESSION, RULE_DONE, NULL, "ForkAfterAuthentication"},
	{"forwardagent", KEYWORD_KEY, RULE_DONE, NULL, "ForwardAgent"},
	{"forwardx11", KEYWORD_SESSION, RULE_DONE, NULL, "ForwardX11"},
	{"forwardx11timeout", KEYWORD_SESSION, RULE_DONE, NULL, "ForwardX11Timeout"},
	{"forwardx11trusted", KEYWORD_SESSION, RULE_DONE, NULL, "ForwardX11Trusted"},
	{"gatewayports", KEYWORD_SESSION, RULE_DONE, NULL, "GatewayPorts"},
	{"globalknownhostsfile", KEYWORD_KEY, RULE_DONE, NULL, "GlobalKnownHostsFile"},
	{"gssapiauthentication", KEYWORD_KEY, RULE_HARMLESS, NULL, "GSSAPIAuthentication"},
	{"gssapiclientidentity", KEYWORD_KEY, RULE_IF_SET, NULL, "GSSAPIClientIdentity"},
	{"gssapidelegatecredentials", KEYWORD_KEY, RULE_IF_ON, NULL, "GSSAPIDelegateCredentials"},
	{"gssapikexalgorithms", KEYWORD_KEY, RULE_HARMLESS, NULL, "GSSAPIKexAlgorithms"},
	{"gssapikeyexchange", KEYWORD_KEY, RULE_IF_ON, NULL, "GSSAPIKeyExchange"},
	{"gssapirenewalforcesrekey", KEYWORD_KEY, RULE_HARMLESS, NULL, "GSSAPIRenewalForcesRekey"},
	{"gssapiserveridentity", KEYWORD_KEY, RULE_IF_SET, NULL, "GSSAPIServerIdentity"},
	{"gssapitrustdns", KEYWORD_KEY, RULE_HARMLESS, NULL, "GSSAPITrustDns"},
	{"hashknownhosts", KEYWORD_SESSION, RULE_DONE, NULL, "HashKnownHosts"},
	{"host", KEYWORD_SESSION, RULE_DONE, NULL, "Host"},
	{"hostbasedacceptedalgorithms", KEYWORD_NONE, RULE_HARMLESS, NULL,
	 "HostbasedAcceptedAlgorithms"},
	{"hostbasedauthentication", KEYWORD_KEY, RULE_IF_ON, NULL, "HostbasedAuthentication"},
	{"hostkeyalgorithms", KEYWORD_KEY, RULE_ALGORITHMS, NULL, "HostKeyAlgorithms"},
	{"hostkeyalias", KEYWORD_KEY, RULE_DONE, NULL, "HostKeyAlias"},
	{"hostname", KEYWORD_KEY, RULE_DONE, NULL, "Hostname"},
	{"identitiesonly", KEYWORD_KEY, RULE_DONE, NULL, "IdentitiesOnly"},
	{"identityagent", KEYWORD_KEY, RULE_DONE, NULL, "IdentityAgent"},
	{"identityfile", KEYWORD_KEY, RULE_DONE, NULL, "IdentityFile"},
	{"ignoreunknown", KEYWORD_NONE, RULE_DONE, NULL, "IgnoreUnknown"},
	{"ipqos", KEYWORD_KEY, RULE_DONE, NULL, "IPQoS"},
	{"kbdinteractiveauthentication", KEYWORD_KEY, RULE_DONE, NULL,
	 "KbdInteractiveAuthentication"},
	{"kbdinteractivedevices", KEYWORD_KEY, RULE_HARMLESS, NULL, "KbdInteractiveDevices"},
	{"kexalgorithms", KEYWORD_KEY, RULE_ALGORITHMS, NULL, "KexAlgorithms"},
	{"knownhostscommand", KEYWORD_KEY, RULE_DONE, NULL, "KnownHostsCommand"},
	{"localcommand", KEYWORD_SESSION, RULE_DONE, NULL, "LocalCommand"},
	{"localforward", KEYWORD_SESSION, RULE_DONE, NULL, "LocalForward"},
	{"loglevel", KEYWORD_SESSION, RULE_DONE, NULL, "LogLevel"},
	{"logverbose", KEYWORD_NONE, RULE_HARMLESS, NULL, "LogVerbose"},
	{"macs", KEYWORD_KEY, RULE_ALGORITHMS, NULL, "MACs"},
	{"nohostauthenticationforlocalhost", KEYWORD_KEY, RULE_DONE, NULL,
	 "NoHostAuthenticationForLocalhost"},
	{"numberofpasswordprompts", KEYWORD_SESSION, RULE_DONE, NULL, "NumberOfPasswordPrompts"},
	{"obscurekeystroketiming", KEYWORD_NONE, RULE_HARMLESS, NULL, "ObscureKeystrokeTiming"},
	{"passwordauthentication", KEYWORD_KEY, RULE_DONE, NULL, "PasswordAuthentication"},
	{"permitlocalcommand", KEYWORD_SESSION, RULE_DONE, NULL, "PermitLocalCommand"},
	{"permitremoteopen", KEYWORD_SESSION, RULE_DONE, NULL, "PermitRemoteOpen"},
	{"pkcs11provider", KEYWORD_KEY, RULE_IF_SET, NULL, "PKCS11Provider"},
	{"port", KEYWORD_KEY, RULE_DONE, NULL, "Port"},
	{"preferredauthentications", KEYWORD_KEY, RULE_METHODS, NULL, "PreferredAuthentications"},
	{"proxycommand", KEYWORD_KEY, RULE_DONE, NULL, "ProxyCommand"},
	{"proxyjump", KEYWORD_KEY, RULE_DONE, NULL, "ProxyJump"},
	{"proxyusefdpass", KEYWORD_KEY, RULE_DONE, NULL, "ProxyUseFdpass"},
	{"pubkeyacceptedalgorithms", KEYWORD_KEY, RULE_ALGORITHMS, NULL,
	 "PubkeyAcceptedAlgorithms"},
	{"pubkeyauthentication", KEYWORD_KEY, RULE_DONE, NULL, "PubkeyAuthentication"},
	{"rekeylimit", KEYWORD_KEY, RULE_DONE, NULL, "RekeyLimit"},
	{"remotecommand", KEYWORD_SESSION, RULE_DONE, NULL, "RemoteCommand"},
	{"remoteforward", KEYWORD_SESSION, RULE_IF_PATH, NULL, "RemoteForward"},
	{"requesttty", KEYWORD_SESSION, RULE_DONE, NULL, "RequestTTY"},
	{"requiredrsasize", KEYWORD_KEY, RULE_DONE, NULL, "RequiredRSASize"},
	{"revokedhostkeys", KEYWORD_KEY, RULE_DONE, NULL, "RevokedHostKeys"},
	{"securitykeyprovider", KEYWORD_NONE, RULE_HARMLESS, NULL, "SecurityKeyProvider"},
	{"sendenv", KEYWORD_SESSION, RULE_DONE, NULL, "SendEnv"},
	{"serveralivecountmax", KEYWORD_SESSION, RULE_DONE, NULL, "ServerAliveCountMax"},
	{"serveraliveinterval", KEYWORD_SESSION, RULE_DONE, NULL, "ServerAliveInterval"},
	{"sessiontype", KEYWORD_SESSION, RULE_DONE, NULL, "SessionType"},
	{"setenv", KEYWORD_SESSION, RULE_DONE, NULL, "SetEnv"},
	{"stdinnull", KEYWORD_SESSION, RULE_DONE, NULL, "StdinNull"},
	{"streamlocalbindmask", KEYWORD_SESSION, RULE_DONE, NULL, "StreamLocalBindMask"},
	{"streamlocalbindunlink", KEYWORD_SESSION, RULE_DONE, NULL, "StreamLocalBindUnlink"},
	{"stricthostkeychecking", KEYWORD_KEY, RULE_DONE, NULL, "StrictHostKeyChecking"},
	{"syslogfacility", KEYWORD_NONE, RULE_HARMLESS, NULL, "SyslogFacility"},
	{"tag", KEYWORD_NONE, RULE_DONE, NULL, "Tag"},
	{"tcpkeepalive", KEYWORD_KEY, RULE_DONE, NULL, "TCPKeepAlive"},
	{"tunnel", KEYWORD_SESSION, RULE_IF_ON, NULL, "Tunnel"},
	{"tunneldevice", KEYWORD_SESSION, RULE_HARMLESS, NULL, "TunnelDevice"},
	{"updatehostkeys", KEYWORD_NONE, RULE_HARMLESS, NULL, "UpdateHostKeys"},
	{"user", KEYWORD_KEY, RULE_DONE, NULL, "User"},
	{"userknownhostsfile", KEYWORD_KEY, RULE_DONE, NULL, "UserKnownHostsFile"},
	{"verifyhostkeydns", KEYWORD_KEY, RULE_IF_ON, NULL, "VerifyHostKeyDNS"},
	{"versionaddendum", KEYWORD_KEY, RULE_HARMLESS, NULL, "VersionAddendum"},
	{"visualhostkey", KEYWORD_SESSION, RULE_DONE, NULL, "VisualHostKey"},
	{"warnweakcrypto", KEYWORD_NONE, RULE_HARMLESS, NULL, "WarnWeakCrypto"},
	{"xauthlocation", KEYWORD_SESSION, RULE_DONE, NULL, "XAuthLocation"},
};
const size_t keywords_count = HW_ARRAY_LEN(keywords_table);

static int compare(const void *key, const void *row)
{
	return strcasecmp(key, ((const struct keyword *)row)->name);
}

const struct keyword *keywords_find(const char *name, size_t len)
{
	char copy[KEYWORD_NAME_MAX];

	if (len >= sizeof(copy))
		return NULL;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return bsearch(copy, keywords_table, keywords_count, sizeof(keywords_table[0]), compare);
}
