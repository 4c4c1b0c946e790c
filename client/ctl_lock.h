/* hawserctl lock and unlock where no hawserd runs: the file beside its socket is all there is. */
#ifndef HAWSER_CLIENT_CTL_LOCK_H
#define HAWSER_CLIENT_CTL_LOCK_H

#include "protocol/base.h"

/* Is hawser locked? */
bool ctl_is_locked(void);
/* Sets or removes the file; a directory that is missing is made. HW_OK, else why (at least
 * 256 bytes) has a sentence. */
int ctl_lock_file(bool locked, char *why, size_t why_size) HW_NODISCARD;

#endif
