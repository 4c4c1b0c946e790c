/* A marker in a stream of bytes: found and taken out, however it is cut into pieces. Pure. */
#ifndef HAWSER_DAEMON_MARKER_H
#define HAWSER_DAEMON_MARKER_H

#include <stddef.h>
#include <stdint.h>

struct marker {
	char text[48]; /* whose first byte stands nowhere else in it; a byte that tells something
			  follows */
	size_t len;
	size_t matched; /* bytes of it that came, and were given to nobody */
};

struct marker_step {
	size_t held;   /* so many bytes at the beginning of text were none of it: they come first */
	size_t passed; /* then so many at the beginning of data */
	char word;     /* the byte behind the marker, which stood behind those; '\0': it did not */
};

/* Looks at data (len: 1 at least) as far as one step goes, and returns how much of it that was (0:
 * only what was held before). To be called again with the rest. */
size_t marker_scan(struct marker *m, const uint8_t *data, size_t len, struct marker_step *step);

#endif
