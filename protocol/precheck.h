/* A look at a payload's bytes before msgpack-c sees them. Its unpacker allocates what an array or
 * map announces before one element of it is there, so counts, depth and lengths are checked here
 * first, against the bytes that are really present. */
#ifndef HAWSER_PROTOCOL_PRECHECK_H
#define HAWSER_PROTOCOL_PRECHECK_H

#include "protocol/base.h"

/* HW_OK: exactly one complete msgpack value, nested no deeper than PROTO_NESTING_MAX below the
 * outer array, of at most PROTO_OBJECTS_MAX values. HW_EPROTO: anything else. Allocates nothing. */
int precheck_payload(const uint8_t *payload, size_t len) HW_NODISCARD;

#endif
