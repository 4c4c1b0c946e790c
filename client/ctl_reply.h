/* A REPLY as rows of values, kept for printing. */
#ifndef HAWSER_CLIENT_CTL_REPLY_H
#define HAWSER_CLIENT_CTL_REPLY_H

#include "protocol/decode.h"

struct ctl_value {
	size_t item;
	struct reply_value v; /* key and str are owned */
};

struct ctl_reply {
	bool ok;
	char *error; /* when not ok */
	size_t nitems;
	struct ctl_value *values; /* in the order of the reply */
	size_t nvalues, cap;
};

/* HW_EPROTO: not a REPLY. Released by ctl_reply_free(), also after an error. */
int ctl_reply_decode(struct ctl_reply *r, const struct proto_message *m) HW_NODISCARD;
void ctl_reply_free(struct ctl_reply *r);
/* NULL when the item has no such key. Borrowed. */
const struct reply_value *ctl_reply_get(const struct ctl_reply *r, size_t item, const char *key);

#endif
