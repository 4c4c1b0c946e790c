/* Values as `ssh -G` prints them, and vectors of strings that grow. Pure. */
#ifndef HAWSER_DAEMON_DESTINATION_VALUES_H
#define HAWSER_DAEMON_DESTINATION_VALUES_H

#include "daemon/destination.h"

/* yes, true and on; anything else (and NULL) is false. */
bool value_flag(const char *text);
/* no, false and none (and NULL): the value switches nothing on. */
bool value_is_off(const char *text);
/* A decimal number; `otherwise` for NULL, text that is none ("none"), or more than max. */
unsigned value_number(const char *text, unsigned max, unsigned otherwise);
/* IPQoS: one word to a TOS byte, -1 for "none" or what is not known. */
int value_tos(const char *text, size_t len);
/* EscapeChar: the byte, or -1 for none. */
int value_escape(const char *text);
/* LogLevel to -3 .. 3, as struct destination has it. */
int value_log_level(const char *text);
/* The same as enum proto_level; INFO for what is not known. */
unsigned value_proto_level(const char *text);
enum strict_hostkey value_strict(const char *text);
enum request_tty value_request_tty(const char *text);
enum session_type value_session_type(const char *text);

/* The value of the first line with this keyword (lower case) in lines, or NULL. Borrowed. */
const char *destination_line(char *const *lines, const char *keyword);
/* All values of a keyword that may stand on several lines of ssh -G; a new vector. lines: NULL ok.
 */
char **destination_values(char *const *lines, const char *keyword);

/* Appends item (taken) to a NULL-terminated vector of *len strings. */
void vector_push(char ***vector, size_t *len, char *item);
/* The non-empty parts of text between bytes of `separators`; never NULL. */
char **vector_split(const char *text, const char *separators);

#endif
