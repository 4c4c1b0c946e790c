#include "daemon/destination_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/destination_values.h"
#include "protocol/alloc.h"

#define X11_TIMEOUT_MAX (INT32_MAX - 3600u) /* seconds: as good as none */

static const char *line(const struct destination *d, const char *keyword)
{
	return destination_line(d->raw, keyword);
}

/* NULL for an absent line and for none. */
static char *text_or_null(const struct destination *d, const char *keyword)
{
	const char *value = line(d, keyword);

	return value != NULL && strcasecmp(value, "none") != 0 ? xstrdup(value) : NULL;
}

static void note(char **trouble, const char *title, char *why)
{
	if (*trouble == NULL)
		*trouble = xasprintf("%s cannot be expanded (%s)", title, why);
	free(why);
}

/* LocalCommand, where PermitLocalCommand allows it. */
static void fill_local_command(struct destination *d, const struct expand_context *ctx,
			       char **trouble)
{
	const char *value = line(d, "localcommand");
	char *why = NULL;

	if (value == NULL || strcasecmp(value, "none") == 0 ||
	    !value_flag(line(d, "permitlocalcommand")))
		return;
	d->local_command = expand_tokens(xstrdup(value), ctx, &why);
	if (d->local_command == NULL)
		note(trouble, "LocalCommand", why);
}

/* ForwardAgent: yes stands for the client's own agent, which IdentityAgent may name; $NAME for the
 * value of a variable. */
static void fill_agent(struct destination *d, const struct expand_context *ctx, char **trouble)
{
	const char *value = line(d, "forwardagent"), *socket = value;
	char *why = NULL;

	if (value == NULL || value_is_off(value))
		return;
	if (value_flag(value) || strcmp(value, "$SSH_AUTH_SOCK") == 0)
		socket = d->agent_socket;
	else if (value[0] == '$' && value[1] != '{')
		socket = expand_getenv(ctx->env, value + 1, strlen(value + 1));
	if (socket == NULL || socket[0] == '\0')
		return;
	if (socket != value) {
		d->forward_agent = xstrdup(socket);
		return;
	}
	d->forward_agent = expand_path(value, ctx, &why);
	if (d->forward_agent == NULL)
		note(trouble, "ForwardAgent", why);
}

static void fill_forwards(struct destination *d, char **trouble)
{
	const char *mask = line(d, "streamlocalbindmask"), *permit = line(d, "permitremoteopen");

	if (!forward_specs_parse(d->raw, &d->forwards, &d->nforwards) && *trouble == NULL)
		*trouble = xstrdup("a forward that is new to hawser");
	d->exit_on_forward_failure = value_flag(line(d, "exitonforwardfailure"));
	d->gateway_ports = value_flag(line(d, "gatewayports"));
	d->stream_local_unlink = value_flag(line(d, "streamlocalbindunlink"));
	d->stream_local_mask = mask != NULL ? (unsigned)strtoul(mask, NULL, 8) & 0777u : 0177u;
	d->permit_remote_open = permit == NULL || strcasecmp(permit, "any") == 0
					? vector_split("", " ")
					: vector_split(permit, " ");
}

/* Was `keyword` given on the command line ("-oKey=value", "-o 'Key value'")? The value of the first
 * that was, which ssh takes, is written to out. ssh -G does not tell what was typed from what was
 * not set. */
static bool typed_value(char *const *args, const char *keyword, char *out, size_t size)
{
	size_t len = strlen(keyword);

	for (; args != NULL && *args != NULL; args++) {
		const char *text = *args, *o;

		if (text[0] == '-' && (o = strchr(text, 'o')) != NULL)
			text = o + 1;
		text += strspn(text, " \t");
		if (strncasecmp(text, keyword, len) != 0 || strcspn(text + len, " \t=") != 0)
			continue;
		text += len + strspn(text + len, " \t=\"");
		snprintf(out, size, "%.*s", (int)strcspn(text, " \t\""), text);
		return true;
	}
	return false;
}

/* ssh(1): "-S none" shares nothing, as ControlPath=none does. */
static bool asks_for_its_own(char *const *args)
{
	char typed[16];

	if (typed_value(args, "controlpath", typed, sizeof(typed)) &&
	    strcasecmp(typed, "none") == 0)
		return true;
	for (; args != NULL && *args != NULL; args++) {
		const char *at = **args == '-' ? strchr(*args, 'S') : NULL;
		const char *value = at != NULL && at[1] == '\0' ? args[1]
				    : at != NULL		? at + 1
								: NULL;

		if (value != NULL && strcasecmp(value, "none") == 0)
			return true;
	}
	return false;
}

char *destination_fill_session(struct destination *d, const struct expand_context *ctx,
			       char *const *args)
{
	const char *level = line(d, "loglevel");
	char *trouble = NULL, typed[16];

	d->request_tty = value_request_tty(line(d, "requesttty"));
	d->session_type = value_session_type(line(d, "sessiontype"));
	d->stdin_null = value_flag(line(d, "stdinnull"));
	d->fork_after_auth = value_flag(line(d, "forkafterauthentication"));
	d->remote_command = text_or_null(d, "remotecommand");
	d->send_env = destination_values(d->raw, "sendenv");
	d->set_env = destination_values(d->raw, "setenv");
	d->escape_char = value_escape(line(d, "escapechar"));
	d->escape_commandline = value_flag(line(d, "enableescapecommandline"));
	d->log_level = value_log_level(level);
	d->log_level_name = xstrdup(level != NULL ? level : "INFO");
	d->hold_nothing =
		typed_value(args, "controlpersist", typed, sizeof(typed)) && value_is_off(typed);
	d->unshared = asks_for_its_own(args);
	d->forward_x11 = value_flag(line(d, "forwardx11"));
	d->forward_x11_trusted = value_flag(line(d, "forwardx11trusted"));
	d->forward_x11_timeout =
		value_number(line(d, "forwardx11timeout"), X11_TIMEOUT_MAX, X11_TIMEOUT_MAX);
	d->xauth_location = text_or_null(d, "xauthlocation");
	fill_local_command(d, ctx, &trouble);
	fill_agent(d, ctx, &trouble);
	fill_forwards(d, &trouble);
	return trouble;
}

void destination_finish_session(struct destination *d)
{
	free(d->remote_command);
	strv_free(d->send_env);
	strv_free(d->set_env);
	free(d->log_level_name);
	free(d->local_command);
	forward_specs_free(d->forwards, d->nforwards);
	strv_free(d->permit_remote_open);
	free(d->forward_agent);
	free(d->xauth_location);
}
