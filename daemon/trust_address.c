#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/knownhosts_match.h"
#include "daemon/trust_priv.h"
#include "protocol/alloc.h"

bool trust_address_is_local(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int trust_address_load(struct login *l, const struct shown_key *k, struct trust_address *t)
{
	const struct destination *d = l->dest;

	*t = (struct trust_address){.on = d->check_host_ip && l->peer[0] != '\0'};
	t->on = t->on && !trust_address_is_local(l->peer);
	if (!t->on)
		return HW_OK;
	t->name = knownhosts_host_port(l->peer, d->port);
	if (strcmp(t->name, d->hostname) == 0) {
		t->on = false;
		return HW_OK;
	}
	/* No line for the address without its port serves here. */
	knownhosts_load_exact(&t->known, d->user_known_hosts, d->global_known_hosts, t->name);
	if (trust_command_run(l, "ADDRESS", t->name, k, &t->known) != HW_OK)
		return HW_EPERM;
	/* They say nothing about a plain key's address. */
	knownhosts_drop_authorities(&t->known);
	t->state = knownhosts_check(&t->known, k->type, k->blob.data, k->blob.len, &t->entry);
	return HW_OK;
}

void trust_address_finish(struct trust_address *t)
{
	knownhosts_finish(&t->known);
	free(t->name);
	t->name = NULL;
}

bool trust_address_learn(struct login *l, const struct shown_key *k, const struct trust_address *t,
			 const struct knownhosts_entry *e)
{
	char *const *files = l->dest->user_known_hosts;
	char why[256];

	if (!t->on || t->state != KNOWNHOSTS_UNKNOWN)
		return false;
	if (files == NULL || files[0] == NULL || e->command)
		login_info(l, "%s host key for IP address '%s' not in list of known hosts.",
			   k->short_type, t->name);
	else if (knownhosts_append(files[0], l->peer, NULL, l->dest->port,
				   l->dest->hash_known_hosts, k->type, k->blob.data, k->blob.len,
				   why, sizeof(why)) != HW_OK)
		login_info(l,
			   "Failed to add the %s host key for IP address '%s' to the list of "
			   "known hosts (%s).",
			   k->short_type, t->name, why);
	else
		login_info(l,
			   "Warning: Permanently added the %s host key for IP address '%s' to "
			   "the list of known hosts.",
			   k->short_type, t->name);
	return true;
}

static char *warning(const struct shown_key *k, const struct trust_address *t,
		     const struct knownhosts_entry *e)
{
	char *where = e == NULL ? xstrdup("")
				: xasprintf("\nMatching host key in %s:%u", e->file, e->line);
	char *text =
		xasprintf("Warning: the %s host key for '%s' differs from the key for the IP "
			  "address '%s'\nOffending key for IP in %s:%u%s",
			  k->short_type, k->name, t->name, t->entry->file, t->entry->line, where);

	free(where);
	return text;
}

/* Another key: DNS or routing was tampered with, or addresses moved. */
int trust_address_check(struct login *l, const struct shown_key *k, const struct trust_address *t,
			const struct knownhosts_entry *e)
{
	char *text;
	bool yes = true;
	int rc = HW_OK;

	if (!t->on || t->entry == NULL ||
	    (t->state != KNOWNHOSTS_CHANGED && t->state != KNOWNHOSTS_REVOKED))
		return HW_OK;
	text = warning(k, t, e);
	if (l->dest->strict == STRICT_ASK && !l->dest->batch_mode) {
		rc = trust_confirm(l, text,
				   "Are you sure you want to continue connecting (yes/no)? ",
				   "Please type 'yes' or 'no': ", NULL, &yes);
	} else {
		login_info(l, "%s", text);
		yes = l->dest->strict == STRICT_NO;
	}
	free(text);
	if (rc != HW_OK || yes)
		return rc;
	cause_set(&l->result.why, CAUSE_HOSTKEY_CHANGED,
		  "%s: Host key verification failed. The %s host key of %s differs from the one "
		  "known for its address %s (CheckHostIP)",
		  l->where, k->short_type, k->name, t->name);
	cause_hint(&l->result.why, "if the address was reused: ssh-keygen -R '%s'", t->name);
	return HW_EPERM;
}
