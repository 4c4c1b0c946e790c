/* A server that lets everybody in, opens sessions, and closes them without an answer to any
 * request. Arguments: the host key's file. Prints its port; serves one connection after the other.
 * With "grab" as second argument it answers instead, tries to open channels to the client's agent
 * and display whether it was lent them or not, and tells the session how many it got. */
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

static void answer(ssh_session s, ssh_message m, ssh_channel *channel)
{
	switch (ssh_message_type(m)) {
	case SSH_REQUEST_AUTH:
		ssh_message_auth_reply_success(m, 0);
		return;
	case SSH_REQUEST_CHANNEL_OPEN:
		*channel = ssh_message_channel_request_open_reply_accept(m);
		return;
	case SSH_REQUEST_CHANNEL:
		if (grab_any)
			ssh_message_channel_request_reply_success(m);
		if (grab_any && ssh_message_subtype(m) != SSH_CHANNEL_REQUEST_EXEC)
			return;
		if (grab_any)
			grab(s, *channel);
		ssh_channel_send_eof(*channel);
		ssh_channel_close(*channel);
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
	if (argc < 2 || ssh_bind_options_set(b, SSH_BIND_OPTIONS_HOSTKEY, argv[1]) != SSH_OK)
		return EXIT_FAILURE;
	for (;;) {
		ssh_session s = ssh_new();
		ssh_channel channel = NULL;
		ssh_message m;

		if (ssh_bind_accept_fd(b, s, accept(fd, NULL, NULL)) != SSH_OK)
			return EXIT_FAILURE;
		if (ssh_handle_key_exchange(s) == SSH_OK) {
			while ((m = ssh_message_get(s)) != NULL) {
				answer(s, m, &channel);
				ssh_message_free(m);
			}
		}
		ssh_free(s);
	}
}
