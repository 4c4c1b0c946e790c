/* hawserctl lock and unlock. */
#include "daemon/control_priv.h"

#include <string.h>

#include "daemon/app.h"
#include "daemon/journal.h"
#include "daemon/pool.h"
#include "protocol/lockfile.h"
#include "protocol/log.h"

static void note(struct app *app, const char *text)
{
	log_info("%s", text);
	journal_add(app->journal, &(struct journal_entry){.kind = JOURNAL_LOCK, .text = text});
}

void control_lock(struct app *app, const struct control_args *args, struct reply *reply)
{
	bool drain = args->first != NULL;
	char why[512];
	size_t n;

	if (drain && strcmp(args->first, "drain") != 0) {
		control_fail(reply, "lock: the word after it may be \"drain\", not \"%s\"",
			     args->first);
		return;
	}
	app->locked = true;
	app->lock_unsaved = lockfile_set(app->config.socket_path, true, why, sizeof(why)) != HW_OK;
	note(app, drain ? "locked: what runs may end, no new requests are taken"
			: "locked: all connections are closed, no new requests are taken");
	n = pools_lock(app->pools, drain);
	reply_item(reply);
	reply_uint(reply, "closed", n);
	reply_bool(reply, "saved", !app->lock_unsaved);
	if (app->lock_unsaved) {
		log_warn("the lock lasts as long as this hawserd only: %s", why);
		reply_str(reply, "note", why);
	}
	app_sessions(app, 0);
}

void control_unlock(struct app *app, const struct control_args *args, struct reply *reply)
{
	bool was = app->locked;
	char why[512];

	(void)args;
	if (lockfile_set(app->config.socket_path, false, why, sizeof(why)) != HW_OK) {
		control_fail(reply, "still locked: %s", why);
		return;
	}
	app->locked = app->lock_unsaved = false;
	pools_unlocked(app->pools);
	if (was)
		note(app, "unlocked");
	reply_item(reply);
	reply_bool(reply, "was_locked", was);
	app_sessions(app, 0);
}
