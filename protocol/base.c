#include "protocol/base.h"

const char *hw_strerror(int error)
{
	switch (error) {
	case HW_OK:
		return "success";
#define X(name, number, text)                                                                      \
	case name:                                                                                 \
		return text;
		HW_ERRORS(X)
#undef X
	default:
		return "unknown error";
	}
}
