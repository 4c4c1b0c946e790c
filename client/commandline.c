#include "client/commandline.h"

#include <ctype.h>
#include <string.h>

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

void commandline_parse(const char *line, bool may_run, struct commandline *out)
{
	const char *s = skip_space(line);
	bool cancel = false;

	*out = (struct commandline){.kind = COMMANDLINE_INVALID, .trouble = "Invalid command."};
	if (*s == '-')
		s++;
	if (*s == '\0') {
		out->kind = COMMANDLINE_NOTHING;
		return;
	}
	if (*s == 'h' || *s == 'H' || *s == '?') {
		out->kind = COMMANDLINE_HELP;
		return;
	}
	if (*s == '!') {
		out->kind = may_run ? COMMANDLINE_RUN : COMMANDLINE_INVALID;
		out->value = s + 1;
		return;
	}
	if (*s == 'K') {
		cancel = true;
		s++;
	}
	if (*s != 'L' && *s != 'R' && *s != 'D')
		return;
	out->option[0] = '-';
	out->option[1] = *s;
	out->value = skip_space(s + 1);
	if (*out->value != '\0')
		out->kind = cancel ? COMMANDLINE_CANCEL : COMMANDLINE_FORWARD;
	else if (cancel)
		out->trouble = "Bad forwarding close specification.";
	else if (*s == 'R')
		out->trouble = "Bad remote forwarding specification.";
	else
		out->trouble = "Bad local forwarding specification.";
}

const char *commandline_help(void)
{
	return "Commands:\n"
	       "      -L[bind_address:]port:host:hostport    Request local forward\n"
	       "      -R[bind_address:]port:host:hostport    Request remote forward\n"
	       "      -D[bind_address:]port                  Request dynamic forward\n"
	       "      -KL[bind_address:]port                 Cancel local forward\n"
	       "      -KR[bind_address:]port                 Cancel remote forward\n"
	       "      -KD[bind_address:]port                 Cancel dynamic forward\n";
}

const char *commandline_help_run(void)
{
	return "      !args                                  Execute local command\n";
}
