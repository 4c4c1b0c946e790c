/* A server that lets everybody in, opens sessions, and closes them without an answer to any
 * request. Arguments: the host key's file. Prints its port; serves one connection after the other.
 * With "grab" as second argument it answers instead, tries to open channels to the client's agent
 * and display whether it was lent them or not, and tells the session how many it got. With "crowd"
 * it opens connections to each forwarded port and never closes one; with "spill" it sends through
 * one of them what a reader that has stopped cannot take; both print a line of what came of it.
 * With "mute" it answers no request to listen, but says something else. */
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_somewhere(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
		exit(EXIT_FAILURE);
	printf("%u\n", ntohs(addr.sin_port));
	fflush(stdout);
	return fd;
}

#define GRABS 200

static bool grab_any;

static void grab(ssh_session s, ssh_channel session)
{
	unsigned agents = 0, displays = 0;
	char text[64];

	for (int i = 0; i < GRABS; i++) {
		agents += ssh_channel_open_auth_agent(ssh_channel_new(s)) == SSH_OK;
		displays += ssh_channel_open_x11(ssh_channel_new(s), "127.0.0.1", 1) == SSH_OK;
	}
	snprintf(text, sizeof(text), "agents %u displays %u\n", agents, displays);
	ssh_channel_write(session, text, (uint32_t)strlen(text));
	ssh_channel_request_send_exit_status(session, 0);
}

#define CROWD 4000

static ssh_channel open_forwarded(ssh_session s, int port)
{
	ssh_channel c = ssh_channel_new(s);

	return ssh_channel_open_reverse_forward(c, "localhost", port, "127.0.0.1", 1) == SSH_OK
		       ? c
		       : NULL;
}

static void crowd(ssh_session s, int port)
{
	unsigned taken = 0;

	for (int i = 0; i < CROWD; i++)
		taken += open_forwarded(s, port) != NULL;
	printf("taken %u\n", taken);
}

/* Small packets of stderr between those of stdout: there are clients that widen the window for
 * each, however much stdout they already hold. */
#define SPILL_MAX   (32u * 1024 * 1024)
#define SPILL_CHUNK 8192
#define SPILL_TURN  (512 * 1024)
#define SPILL_TRIES 20
#define SPILL_MS    100

static void spill(ssh_session s, int port)
{
	static const char chunk[SPILL_CHUNK];
	ssh_channel c = open_forwarded(s, port);
	size_t sent = 0;
	int tries = 0;

	while (c != NULL && ssh_channel_is_open(c) && sent < SPILL_MAX && tries < SPILL_TRIES) {
		if (ssh_channel_window_size(c) < 2 * SPILL_CHUNK) {
			ssh_channel_poll_timeout(c, SPILL_MS, 0);
			tries++;
			continue;
		}
		tries = 0;
		if (ssh_channel_write(c, chunk, sizeof(chunk)) != (int)sizeof(chunk))
			break;
		sent += sizeof(chunk);
		if (sent % SPILL_TURN == 0) {
			ssh_channel_write_stderr(c, chunk, 1);
			ssh_channel_poll_timeout(c, 1, 0);
		}
	}
	printf("sent %zu\n", sent);
}

static void (*with_forward)(ssh_session s, int port);
static bool mute;

static void answer_global(ssh_session s, ssh_message m)
{
	int port = ssh_message_global_request_port(m);

	if (mute) {
		ssh_send_ignore(s, "alive, but"); /* no answer */
		return;
	}
	if (with_forward == NULL || ssh_message_subtype(m) != SSH_GLOBAL_REQUEST_TCPIP_FORWARD) {
		ssh_message_reply_default(m);
		return;
	}
	ssh_message_global_request_reply_success(m, (uint16_t)port);
	with_forward(s, port);
	fflush(stdout);
}

static void answer(ssh_session s, ssh_message m)
{
	ssh_channel channel = ssh_message_channel_request_channel(m);

	switch (ssh_message_type(m)) {
	case SSH_REQUEST_AUTH:
		ssh_message_auth_reply_success(m, 0);
		return;
	case SSH_REQUEST_CHANNEL_OPEN:
		(void)ssh_message_channel_request_open_reply_accept(m); /* the session's */
		return;
	case SSH_REQUEST_CHANNEL:
		if (grab_any)
			ssh_message_channel_request_reply_success(m);
		if (grab_any && ssh_message_subtype(m) != SSH_CHANNEL_REQUEST_EXEC)
			return;
		if (grab_any)
			grab(s, channel);
		ssh_channel_send_eof(channel);
		ssh_channel_close(channel);
		return;
	case SSH_REQUEST_GLOBAL:
		answer_global(s, m);
		return;
	default:
		ssh_message_reply_default(m);
	}
}

int main(int argc, char **argv)
{
	ssh_bind b = ssh_bind_new();
	int fd = listen_somewhere();

	grab_any = argc == 3 && strcmp(argv[2], "grab") == 0;
	mute = argc == 3 && strcmp(argv[2], "mute") == 0;
	if (argc == 3 && strcmp(argv[2], "crowd") == 0)
		with_forward = crowd;
	if (argc == 3 && strcmp(argv[2], "spill") == 0)
		with_forward = spill;
	if (argc < 2 || ssh_bind_options_set(b, SSH_BIND_OPTIONS_HOSTKEY, argv[1]) != SSH_OK)
		return EXIT_FAILURE;
	for (;;) {
		ssh_session s = ssh_new();
		ssh_message m;

		if (ssh_bind_accept_fd(b, s, accept(fd, NULL, NULL)) != SSH_OK)
			return EXIT_FAILURE;
		if (ssh_handle_key_exchange(s) == SSH_OK) {
			while ((m = ssh_message_get(s)) != NULL) {
				answer(s, m);
				ssh_message_free(m);
			}
		}
		ssh_free(s);
	}
}
