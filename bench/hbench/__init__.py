"""Side-by-side measurements of hawser and OpenSSH's ControlMaster (see ../README.md)."""
