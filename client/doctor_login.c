/* doctor: a login of its own, by hawser, and its stages. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/doctor_priv.h"
#include "client/fallback.h"
#include "protocol/alloc.h"

/* What doctor_child() returns where there is no such program. */
#define NOT_FOUND 127

char *doctor_hawser(void)
{
	static const char name[] = "hawser";
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name));
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash != NULL) {
			memcpy(slash + 1, name, sizeof(name));
			if (access(path, X_OK) == 0)
				return xstrdup(path);
		}
	}
	return xstrdup(name); /* execvp looks on PATH */
}

void doctor_surroundings(struct doctor *d)
{
	if (fallback_disabled())
		doctor_add(
			d, NOTE, "configuration",
			"HAWSER_DISABLE is set: hawser hands all calls over to ssh; what follows "
			"is told as if it were not");
	unsetenv("HAWSER_DISABLE");
	unsetenv("HAWSER_STATUS_FD"); /* whoever reads there waits for another end */
	setenv("HAWSER_FALLBACK", "no", 1);
}

/* The number behind a phrase; -1: it is not there. */
static double number_behind(const char *text, const char *phrase)
{
	const char *at = strstr(text, phrase);

	return at != NULL ? strtod(at + strlen(phrase), NULL) : -1;
}

void doctor_login(struct doctor *d)
{
	char *hawser = doctor_hawser();
	const char *first[] = {hawser, NULL};
	static const char *const more[] = {"-vv", /* behind a -q, which it undoes */
					   "-oBatchMode=yes",
					   "-oControlPath=none",
					   "-oClearAllForwardings=yes",
					   "-oPermitLocalCommand=no",
					   "-N",
					   NULL};
	char **words = doctor_words(d, first, more), *line, *save = NULL;
	struct doctor_child c;
	int status;

	status = doctor_child(words, "hawser: stages:", DOCTOR_LOGIN_MS, &c);
	free(words);
	free(hawser);
	if (c.seen) {
		doctor_add(d, FINE, "login",
			   "%.0f ms in all (key exchange %.0f ms, authentication %.0f ms)",
			   c.took_ms, number_behind(c.err, "key exchange "),
			   number_behind(c.err, "authentication "));
		doctor_child_free(&c);
		return;
	}
	if (status == NOT_FOUND) {
		doctor_add(d, BAD, "login", "not tried: hawser is not found");
		doctor_cure(d, "install hawser beside hawserctl, or in a folder of PATH");
		doctor_child_free(&c);
		return;
	}
	doctor_add(d, BAD, "login", "a login without questions does not succeed (%.0f ms)",
		   c.took_ms);
	for (line = strtok_r(c.err, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "hawser: ", 8) != 0 || strstr(line, "debug") != NULL ||
		    strstr(line, "no connection is held") != NULL ||
		    strstr(line, "ControlPath=none asks") != NULL)
			continue;
		line[strcspn(line, "\r")] = '\0';
		doctor_cure(d, "%s", line + 8);
	}
	doctor_child_free(&c);
}
