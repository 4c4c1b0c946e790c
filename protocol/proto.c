#include "protocol/proto.h"

#include <stdlib.h>
#include "protocol/alloc.h"
#include "protocol/decode.h"

const char *proto_type_name(unsigned type)
{
	switch (type) {
#define X(name, number, direction, phase)                                                          \
	case number:                                                                               \
		return #name;
#include "protocol/messages.def"
#undef X
	default:
		return "unknown";
	}
}

void proto_request_free(struct proto_request *m)
{
	free(m->version);
	strv_free(m->args);
	free(m->host);
	free_secret(m->command, m->command_len); /* people do put passwords there */
	/* So do they in their environment. */
	for (size_t i = 0; m->env && m->env[i]; i++)
		free_secret_str(m->env[i]);
	free(m->env);
	free(m->cwd);
	free(m->operation);
	free(m->stdio);
	free(m->modes);
	*m = (struct proto_request){0};
}

void proto_signal_free(struct proto_signal *m)
{
	free(m->name);
	*m = (struct proto_signal){0};
}

void proto_action_free(struct proto_action *m)
{
	free(m->verb);
	strv_free(m->args);
	*m = (struct proto_action){0};
}

void proto_answer_free(struct proto_answer *m)
{
	free(m->reason);
	for (size_t i = 0; m->answers && m->answers[i]; i++)
		free_secret_str(m->answers[i]);
	free(m->answers);
	*m = (struct proto_answer){0};
}

void proto_control_free(struct proto_control *m)
{
	free(m->verb);
	strv_free(m->args);
	*m = (struct proto_control){0};
}

void proto_exit_free(struct proto_exit *m)
{
	free(m->signal);
	free(m->error);
	free(m->hint);
	free(m->stage);
	free(m->cause);
	free(m->evidence);
	*m = (struct proto_exit){0};
}

void proto_progress_free(struct proto_progress *m)
{
	free(m->text);
	*m = (struct proto_progress){0};
}

void proto_prompt_free(struct proto_prompt *m)
{
	free(m->intro);
	for (size_t i = 0; i < m->nfields; i++)
		free(m->fields[i].text);
	free(m->fields);
	*m = (struct proto_prompt){0};
}

void proto_started_free(struct proto_started *m)
{
	free(m->host);
	*m = (struct proto_started){.read_stdin = true, .escape = -1};
}

void proto_notice_free(struct proto_notice *m)
{
	free(m->text);
	*m = (struct proto_notice){0};
}

void proto_fallback_free(struct proto_fallback *m)
{
	free(m->why);
	*m = (struct proto_fallback){0};
}

void proto_error_free(struct proto_error *m)
{
	free(m->text);
	*m = (struct proto_error){0};
}
