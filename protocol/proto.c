#include "protocol/proto.h"

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
