#include "client/ctl_print.h"

#include <math.h>
#include <string.h>
#include "client/json_text.h"
#include "protocol/utf8.h"

#define CELL_MAX 80   /* of a column; */
#define LAST_MAX 1024 /* of what may stand at the end of a line */

static void json_value(FILE *out, const struct reply_value *v)
{
	switch (v->kind) {
	case 's':
		json_put_text(out, v->str);
		break;
	case 'u':
		fprintf(out, "%llu", (unsigned long long)v->uint);
		break;
	case 'd':
		if (isfinite(v->dbl))
			fprintf(out, "%.15g", v->dbl);
		else
			fputs("null", out);
		break;
	case 'b':
		fputs(v->boolean ? "true" : "false", out);
		break;
	default:
		fputs("null", out);
	}
}

void ctl_print_text(FILE *out, const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p != '\0';) {
		size_t len = utf8_shown_length(p, SIZE_MAX);

		if (len == 0)
			fputc('?', out);
		else
			fwrite(p, 1, len, out);
		p += len > 0 ? len : 1;
	}
}

void ctl_print_json_items(FILE *out, const struct ctl_reply *r, bool *first)
{
	size_t k = 0;

	for (size_t i = 0; i < r->nitems; i++) {
		fputs(*first ? "{" : ", {", out);
		*first = false;
		for (bool start = true; k < r->nvalues && r->values[k].item == i; k++) {
			if (!start)
				fputs(", ", out);
			start = false;
			json_put_text(out, r->values[k].v.key);
			fputs(": ", out);
			json_value(out, &r->values[k].v);
		}
		fputc('}', out);
	}
}

void ctl_print_json(FILE *out, const struct ctl_reply *r)
{
	bool first = true;

	fprintf(out, "{\"ok\": %s, ", r->ok ? "true" : "false");
	if (r->error != NULL) {
		fputs("\"error\": ", out);
		json_put_text(out, r->error);
		fputs(", ", out);
	}
	fputs("\"items\": [", out);
	ctl_print_json_items(out, r, &first);
	fputs("]}\n", out);
}

void ctl_format_age(double seconds, char *out, size_t size)
{
	static const struct {
		unsigned long long seconds;
		char name;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};

	if (!(seconds >= 0) || seconds > 1e15) {
		snprintf(out, size, "-");
		return;
	}
	if (seconds < 1) {
		snprintf(out, size, "%.0fms", seconds * 1000);
		return;
	}
	unsigned long long s = (unsigned long long)seconds;
	for (size_t i = 0; i < HW_ARRAY_LEN(units); i++) {
		if (s < units[i].seconds)
			continue;
		unsigned long long rest = s % units[i].seconds;
		if (i + 1 < HW_ARRAY_LEN(units) && rest / units[i + 1].seconds > 0)
			snprintf(out, size, "%llu%c%llu%c", s / units[i].seconds, units[i].name,
				 rest / units[i + 1].seconds, units[i + 1].name);
		else
			snprintf(out, size, "%llu%c", s / units[i].seconds, units[i].name);
		return;
	}
}

void ctl_format_size(uint64_t bytes, char *out, size_t size)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, size, "%llu", (unsigned long long)bytes);
		return;
	}
	for (value /= 1024; value >= 1023.95 && unit + 1 < sizeof(units) - 1; unit++)
		value /= 1024;
	snprintf(out, size, "%.1f%c", value, units[unit]);
}

static bool ends_with(const char *s, const char *end)
{
	size_t a = strlen(s), b = strlen(end);

	return a >= b && strcmp(s + a - b, end) == 0;
}

static double number_of(const struct reply_value *v)
{
	return v->kind == 'd' ? v->dbl : (double)v->uint;
}

/* As ctl_print_text() shows it, in place. */
static void tame(char *text)
{
	unsigned char *to = (unsigned char *)text;

	for (const unsigned char *p = to; *p != '\0';) {
		size_t len = utf8_shown_length(p, SIZE_MAX);

		if (len == 0)
			*to++ = '?';
		for (size_t i = 0; i < len; i++)
			*to++ = p[i];
		p += len > 0 ? len : 1;
	}
	*to = '\0';
}

/* A value for people: the unit is in the key's name. */
static void format_value(const struct reply_value *v, char *out, size_t size)
{
	bool number = v != NULL && (v->kind == 'd' || v->kind == 'u');

	if (v == NULL || v->kind == 'n')
		snprintf(out, size, "-");
	else if (v->kind == 's')
		snprintf(out, size, "%s", v->str);
	else if (v->kind == 'b')
		snprintf(out, size, "%s", v->boolean ? "yes" : "no");
	else if (number && ends_with(v->key, "_s"))
		ctl_format_age(number_of(v), out, size);
	else if (number && ends_with(v->key, "_ms") && number_of(v) >= 1000)
		ctl_format_age(number_of(v) / 1000, out, size);
	else if (number && ends_with(v->key, "_ms"))
		snprintf(out, size, "%.1fms", number_of(v));
	else if (v->kind == 'u' && strncmp(v->key, "bytes", 5) == 0)
		ctl_format_size(v->uint, out, size);
	else if (v->kind == 'u')
		snprintf(out, size, "%llu", (unsigned long long)v->uint);
	else
		snprintf(out, size, "%.3g", number_of(v));
	tame(out); /* what a server called itself, say */
}

static const struct column {
	const char *key, *heading;
	bool right;
	bool optional; /* left out where it is empty on every line; the last ones only */
} columns[] = {
	{"id", "ID", true, false},	   {"label", "TRANSPORT", false, false},
	{"state", "STATE", false, false},  {"sessions", "SESSIONS", true, false},
	{"queued", "QUEUED", true, false}, {"age_s", "AGE", true, false},
	{"idle_s", "IDLE", true, false},   {"bytes_in", "IN", true, false},
	{"bytes_out", "OUT", true, false}, {"rtt_ms", "RTT", true, false},
	{"via", "VIA", false, true},	   {"waits_for", "WAITS FOR", false, true},
};

/* Padded where another stands behind it. */
static void print_optional(FILE *out, const char *cell, const int *width, size_t c)
{
	int rest = 0;

	for (size_t next = c + 1; next < HW_ARRAY_LEN(columns); next++)
		rest += width[next];
	if (width[c] > 0 && (rest > 0 || cell[0] != '\0'))
		fprintf(out, "  %-*s", rest > 0 ? width[c] : 0, cell);
}

static size_t cell_size(size_t column)
{
	return columns[column].optional ? LAST_MAX : CELL_MAX;
}

void ctl_print_table(FILE *out, const struct ctl_reply *r)
{
	char cell[LAST_MAX];
	int width[HW_ARRAY_LEN(columns)];

	for (size_t c = 0; c < HW_ARRAY_LEN(columns); c++) {
		width[c] = columns[c].optional ? 0 : (int)strlen(columns[c].heading);
		for (size_t i = 0; i < r->nitems; i++) {
			const struct reply_value *v = ctl_reply_get(r, i, columns[c].key);

			if (v == NULL && columns[c].optional)
				continue; /* an older hawserd */
			format_value(v, cell, cell_size(c));
			if ((int)strlen(cell) > width[c])
				width[c] = (int)strlen(cell);
		}
	}
	for (size_t line = 0; line <= r->nitems; line++) {
		for (size_t c = 0; c < HW_ARRAY_LEN(columns); c++) {
			if (line == 0)
				snprintf(cell, sizeof(cell), "%s", columns[c].heading);
			else
				format_value(ctl_reply_get(r, line - 1, columns[c].key), cell,
					     cell_size(c));
			if (columns[c].optional) {
				print_optional(out, cell, width, c);
				continue;
			}
			fprintf(out, "%s%*s", c == 0 ? "" : "  ",
				columns[c].right ? width[c] : -width[c], cell);
		}
		fputc('\n', out);
	}
}

/* "age_s" is "age" to people: the value shows its unit. */
static int name_length(const char *key)
{
	size_t len = strlen(key);

	if (ends_with(key, "_ms"))
		len -= 3;
	else if (ends_with(key, "_s"))
		len -= 2;
	return (int)len;
}

void ctl_print_blocks(FILE *out, const struct ctl_reply *r)
{
	char value[512];
	int width = 0;
	size_t item = 0;

	for (size_t k = 0; k < r->nvalues; k++)
		if (name_length(r->values[k].v.key) > width)
			width = name_length(r->values[k].v.key);
	for (size_t k = 0; k < r->nvalues; k++) {
		const struct reply_value *v = &r->values[k].v;
		int len = name_length(v->key);

		if (r->values[k].item != item)
			fputc('\n', out);
		item = r->values[k].item;
		for (int i = 0; i < len; i++)
			fputc(v->key[i] == '_' ? ' ' : v->key[i], out);
		format_value(v, value, sizeof(value));
		fprintf(out, ":%*s %s\n", width - len, "", value);
	}
}
