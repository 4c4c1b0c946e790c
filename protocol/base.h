/* What every file of the project may use: attributes, error numbers, small helpers. */
#ifndef HAWSER_PROTOCOL_BASE_H
#define HAWSER_PROTOCOL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HW_NODISCARD	     __attribute__((warn_unused_result))
#define HW_NORETURN	     __attribute__((noreturn))

#define HW_ARRAY_LEN(a)			   (sizeof(a) / sizeof((a)[0]))
#define hw_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Results of functions that can fail: 0 or one of these, all negative. */
#define HW_ERRORS(X)                                                                               \
	X(HW_EAGAIN, -1, "not ready yet")                                                          \
	X(HW_EOF, -2, "end of file")                                                               \
	X(HW_ESYS, -3, "system call failed")                                                       \
	X(HW_ETOOBIG, -4, "larger than the limit")                                                 \
	X(HW_EPROTO, -5, "malformed message")                                                      \
	X(HW_EVERSION, -6, "version not spoken here")                                              \
	X(HW_EPERM, -7, "not permitted")                                                           \
	X(HW_ENOENT, -8, "not found")                                                              \
	X(HW_ETIMEOUT, -9, "timed out")                                                            \
	X(HW_EINVAL, -10, "invalid value")

enum hw_error {
	HW_OK = 0,
#define X(name, number, text) name = number,
	HW_ERRORS(X)
#undef X
};

/* The text of an hw_error; never NULL. */
const char *hw_strerror(int error);

/* Exit status of every failure of hawser's own, as ssh(1) has it. */
#define HW_EXIT_FAILURE 255

#endif
