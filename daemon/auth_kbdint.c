#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/alloc.h"

/* Rounds of one attempt: a server that asks without end is cut off. */
#define MAX_INFO_ROUNDS 100

static int step_kbdint(struct auth *a, void *arg)
{
	(void)arg;
	return ssh_userauth_kbdint(a->l->session, NULL, NULL);
}

/* Name and instruction, as ssh prints them before the questions; NULL when both are empty. */
static char *round_intro(struct auth *a)
{
	const char *name = ssh_userauth_kbdint_getname(a->l->session);
	const char *text = ssh_userauth_kbdint_getinstruction(a->l->session);
	bool has_name = name != NULL && name[0] != '\0', has_text = text != NULL && text[0] != '\0';
	char *raw, *intro;

	if (!has_name && !has_text)
		return NULL;
	raw = xasprintf("%s%s%s", has_name ? name : "", has_name && has_text ? "\n" : "",
			has_text ? text : "");
	intro = login_visible(raw);
	free(raw);
	return intro;
}

/* Questions first..first+n of the round: one prompt. */
static int ask_some(struct auth *a, const char *intro, unsigned first, unsigned n)
{
	struct proto_field fields[PROTO_FIELDS_MAX];
	struct proto_prompt p = {.kind = PROTO_PROMPT_TEXT, .fields = fields, .nfields = n};
	char *account = auth_account(a), **answers = NULL;
	int rc;

	p.intro = (char *)intro;
	for (unsigned i = 0; i < n; i++) {
		char echo = 0, *raw;
		const char *text = ssh_userauth_kbdint_getprompt(a->l->session, first + i, &echo);

		raw = xasprintf("(%s) %s", account, text != NULL ? text : "");
		fields[i].text = login_visible(raw);
		fields[i].echo = echo != 0;
		free(raw);
	}
	free(account);
	rc = login_ask(a->l, &p, &answers);
	for (unsigned i = 0; i < n; i++) {
		free(fields[i].text);
		if (rc == HW_OK)
			ssh_userauth_kbdint_setanswer(a->l->session, first + i, answers[i]);
	}
	login_answers_free(answers);
	return rc;
}

/* One INFO_REQUEST. HW_OK: the answers are with libssh. */
static int answer_round(struct auth *a)
{
	int count = ssh_userauth_kbdint_getnprompts(a->l->session);
	unsigned n = count > 0 ? (unsigned)count : 0;
	char *intro;
	int rc;

	if (n == 0)
		return HW_OK; /* PAM ends a conversation so */
	rc = auth_may_ask(a, "the server's question");
	if (rc != HW_OK)
		return rc;
	intro = round_intro(a);
	for (unsigned i = 0; i < n && rc == HW_OK; i += PROTO_FIELDS_MAX)
		rc = ask_some(a, i == 0 ? intro : NULL, i,
			      n - i < PROTO_FIELDS_MAX ? n - i : PROTO_FIELDS_MAX);
	free(intro);
	return rc == HW_OK ? HW_OK : HW_EOF;
}

enum auth_outcome auth_kbdint_run(struct auth *a)
{
	unsigned tries = 0;

	while (a->rounds < a->l->dest->password_prompts) {
		bool asked = false;
		int rc;

		if (a->l->dest->batch_mode) {
			a->not_asked = true;
			auth_note(a, "keyboard-interactive was not tried: batch mode");
			return AUTH_REFUSED;
		}
		a->rounds++;
		tries++;
		rc = auth_call(a, step_kbdint, NULL);
		for (unsigned i = 0; rc == SSH_AUTH_INFO && i < MAX_INFO_ROUNDS; i++) {
			asked = true;
			if (answer_round(a) != HW_OK)
				return AUTH_ENDED;
			rc = auth_call(a, step_kbdint, NULL);
		}
		if (rc != SSH_AUTH_DENIED)
			return auth_outcome(rc);
		/* A refusal without a question is the server's way to say that it has none. */
		if (!asked || (a->methods & SSH_AUTH_METHOD_INTERACTIVE) == 0)
			break;
	}
	auth_note(a, "keyboard-interactive refused %u times", tries);
	return AUTH_REFUSED;
}
