/* The data types of the SSH protocols (RFC 4251, section 5) in memory: reading with bounds, writing
 * into a buffer that can be wiped. Keys, agents, certificates and revocation lists speak them. */
#ifndef HAWSER_DAEMON_SSHWIRE_H
#define HAWSER_DAEMON_SSHWIRE_H

#include "protocol/base.h"

/* What is left to read; borrowed. */
struct sshwire_in {
	const uint8_t *data;
	size_t len;
};

/* Each takes one value from the front; false, and nothing taken, when it does not fit. */
bool sshwire_u8(struct sshwire_in *in, uint8_t *v) HW_NODISCARD;
bool sshwire_u32(struct sshwire_in *in, uint32_t *v) HW_NODISCARD;
bool sshwire_u64(struct sshwire_in *in, uint64_t *v) HW_NODISCARD;
/* *s points into the input. */
bool sshwire_string(struct sshwire_in *in, struct sshwire_in *s) HW_NODISCARD;
bool sshwire_skip_strings(struct sshwire_in *in, unsigned n) HW_NODISCARD;
/* Are these bytes exactly that text? */
bool sshwire_is(const struct sshwire_in *s, const char *text);

struct sshwire_out {
	uint8_t *data; /* on the heap */
	size_t len, room;
};

void sshwire_put_u8(struct sshwire_out *out, uint8_t v);
void sshwire_put_u32(struct sshwire_out *out, uint32_t v);
void sshwire_put_bytes(struct sshwire_out *out, const void *data, size_t len);
void sshwire_put_string(struct sshwire_out *out, const void *data, size_t len);
/* A number that is not negative, its bytes highest first: leading zeros go, and one comes back
 * where the highest bit is set. */
void sshwire_put_mpint(struct sshwire_out *out, const void *data, size_t len);
/* Wipes and frees; the buffer is empty again. */
void sshwire_out_finish(struct sshwire_out *out);

#endif
