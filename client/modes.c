#include "client/modes.h"

#include <unistd.h>

/* RFC 4254 section 8 (42 is RFC 8160). */
#define OP_END	  0
#define OP_ISPEED 128
#define OP_OSPEED 129
/* On the wire, a key that is switched off. */
#define NO_KEY 255u

static const struct {
	uint8_t op;
	uint8_t index; /* in c_cc */
	uint8_t fresh; /* of a fresh Linux terminal; 0: not to be translated */
} keys_table[] = {
	{1, VINTR, 0x03}, {2, VQUIT, 0x1c},  {3, VERASE, 0x7f}, {4, VKILL, 0x15},
	{5, VEOF, 0x04},  {6, VEOL, 0},	     {7, VEOL2, 0},	{8, VSTART, 0},
	{9, VSTOP, 0},	  {10, VSUSP, 0x1a}, {12, VREPRINT, 0}, {13, VWERASE, 0x17},
	{14, VLNEXT, 0},  {16, VSWTC, 0},    {18, VDISCARD, 0},
};

enum word { WORD_INPUT, WORD_LOCAL, WORD_OUTPUT, WORD_CONTROL };

static const struct {
	uint8_t op;
	uint8_t word;
	tcflag_t mask, value; /* set when the masked bits are these */
} flags_table[] = {
	{30, WORD_INPUT, IGNPAR, IGNPAR},   {31, WORD_INPUT, PARMRK, PARMRK},
	{32, WORD_INPUT, INPCK, INPCK},	    {33, WORD_INPUT, ISTRIP, ISTRIP},
	{34, WORD_INPUT, INLCR, INLCR},	    {35, WORD_INPUT, IGNCR, IGNCR},
	{36, WORD_INPUT, ICRNL, ICRNL},	    {37, WORD_INPUT, IUCLC, IUCLC},
	{38, WORD_INPUT, IXON, IXON},	    {39, WORD_INPUT, IXANY, IXANY},
	{40, WORD_INPUT, IXOFF, IXOFF},	    {41, WORD_INPUT, IMAXBEL, IMAXBEL},
	{42, WORD_INPUT, IUTF8, IUTF8},	    {50, WORD_LOCAL, ISIG, ISIG},
	{51, WORD_LOCAL, ICANON, ICANON},   {52, WORD_LOCAL, XCASE, XCASE},
	{53, WORD_LOCAL, ECHO, ECHO},	    {54, WORD_LOCAL, ECHOE, ECHOE},
	{55, WORD_LOCAL, ECHOK, ECHOK},	    {56, WORD_LOCAL, ECHONL, ECHONL},
	{57, WORD_LOCAL, NOFLSH, NOFLSH},   {58, WORD_LOCAL, TOSTOP, TOSTOP},
	{59, WORD_LOCAL, IEXTEN, IEXTEN},   {60, WORD_LOCAL, ECHOCTL, ECHOCTL},
	{61, WORD_LOCAL, ECHOKE, ECHOKE},   {62, WORD_LOCAL, PENDIN, PENDIN},
	{70, WORD_OUTPUT, OPOST, OPOST},    {71, WORD_OUTPUT, OLCUC, OLCUC},
	{72, WORD_OUTPUT, ONLCR, ONLCR},    {73, WORD_OUTPUT, OCRNL, OCRNL},
	{74, WORD_OUTPUT, ONOCR, ONOCR},    {75, WORD_OUTPUT, ONLRET, ONLRET},
	{90, WORD_CONTROL, CSIZE, CS7},	    {91, WORD_CONTROL, CSIZE, CS8},
	{92, WORD_CONTROL, PARENB, PARENB}, {93, WORD_CONTROL, PARODD, PARODD},
};

static const struct {
	speed_t speed;
	uint32_t baud;
} speeds[] = {
	{B50, 50},	   {B75, 75},		{B110, 110},	   {B134, 134},
	{B150, 150},	   {B200, 200},		{B300, 300},	   {B600, 600},
	{B1200, 1200},	   {B1800, 1800},	{B2400, 2400},	   {B4800, 4800},
	{B9600, 9600},	   {B19200, 19200},	{B38400, 38400},   {B57600, 57600},
	{B115200, 115200}, {B230400, 230400},	{B460800, 460800}, {B500000, 500000},
	{B921600, 921600}, {B1000000, 1000000},
};

static size_t put(uint8_t *out, size_t at, uint8_t op, uint32_t value)
{
	out[at] = op;
	for (size_t i = 0; i < 4; i++)
		out[at + 1 + i] = (uint8_t)(value >> (24 - 8 * i));
	return at + 5;
}

/* What is not in the table is as good as ssh's answer to it. */
static uint32_t baud(speed_t speed)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(speeds); i++) {
		if (speeds[i].speed == speed)
			return speeds[i].baud;
	}
	return 9600;
}

size_t modes_encode(const struct termios *t, uint8_t *out)
{
	const tcflag_t words[] = {[WORD_INPUT] = t->c_iflag,
				  [WORD_LOCAL] = t->c_lflag,
				  [WORD_OUTPUT] = t->c_oflag,
				  [WORD_CONTROL] = t->c_cflag};
	size_t n = 0;

	n = put(out, n, OP_OSPEED, baud(cfgetospeed(t)));
	n = put(out, n, OP_ISPEED, baud(cfgetispeed(t)));
	for (size_t i = 0; i < HW_ARRAY_LEN(keys_table); i++) {
		cc_t key = t->c_cc[keys_table[i].index];

		n = put(out, n, keys_table[i].op, key == _POSIX_VDISABLE ? NO_KEY : key);
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(flags_table); i++)
		n = put(out, n, flags_table[i].op,
			(words[flags_table[i].word] & flags_table[i].mask) == flags_table[i].value);
	out[n++] = OP_END;
	return n;
}

/* Letters that somebody erases with are left alone: as text they are needed more. */
static bool is_control(cc_t key)
{
	return key != _POSIX_VDISABLE && (key < 0x20 || key == 0x7f);
}

bool modes_keys(const struct termios *t, uint8_t keys[256])
{
	bool any = false;

	for (unsigned i = 0; i < 256; i++)
		keys[i] = (uint8_t)i;
	for (size_t i = 0; i < HW_ARRAY_LEN(keys_table); i++) {
		cc_t key = t->c_cc[keys_table[i].index];

		if (keys_table[i].fresh == 0 || key == keys_table[i].fresh || !is_control(key))
			continue;
		keys[key] = keys_table[i].fresh;
		any = true;
	}
	return any;
}
