/* Allocation that cannot fail: out of memory ends the process with a message (tmux and OpenSSH do
 * the same). Sizes that a peer chose are checked against a limit before they get here. */
#ifndef HAWSER_PROTOCOL_ALLOC_H
#define HAWSER_PROTOCOL_ALLOC_H

#include <stdarg.h>
#include "protocol/base.h"

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* zeroed; count * size is overflow-checked */
void *xreallocarray(void *p, size_t count, size_t size); /* overflow-checked */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t max);
void *xmemdup(const void *p, size_t size); /* one NUL is put behind the copy */
char *xasprintf(const char *fmt, ...) HW_PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list ap);

/* A NULL-terminated vector of strings, each and the vector itself on the heap. */
void strv_free(char **v);
size_t strv_len(char *const *v); /* 0 for NULL */
char **strv_dup(char *const *v);

/* free() after the bytes were overwritten in a way the compiler keeps. p may be NULL. */
void free_secret(void *p, size_t size);
/* The same for a string. */
void free_secret_str(char *s);

#endif
