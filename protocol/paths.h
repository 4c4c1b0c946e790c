/* Where the socket, the configuration and the state live (design: Places). Pure but for
 * lstat/mkdir. */
#ifndef HAWSER_PROTOCOL_PATHS_H
#define HAWSER_PROTOCOL_PATHS_H

#include "protocol/base.h"

/* The largest socket path that fits sockaddr_un with its NUL. */
#define HW_SOCKET_PATH_MAX 107

/* The daemon's socket into out: $HAWSER_SOCKET, else $XDG_RUNTIME_DIR/hawser/v1.sock, else
 * /tmp/hawser-UID/v1.sock (v1 is the protocol's major version). The directory is not touched.
 * HW_ETOOBIG: the path does not fit; HW_EINVAL: $HAWSER_SOCKET is not absolute. why (at least 256
 * bytes) then says which variable to change. */
int paths_socket(char *out, size_t size, char *why, size_t why_size) HW_NODISCARD;

/* Makes the socket's directory (mode 0700) if it is not there, and checks that it is a real
 * directory of ours that nobody else can enter. Errors: HW_EPERM, HW_ESYS with a sentence in why.
 */
int paths_prepare_dir(const char *socket_path, char *why, size_t why_size) HW_NODISCARD;

/* $XDG_CONFIG_HOME/hawser/hawser.conf; $XDG_STATE_HOME/hawser. false when they do not fit. */
bool paths_config(char *out, size_t size);
bool paths_state_dir(char *out, size_t size);

#endif
