// Package systemd is what the daemon has to do with the service manager: it
// tells how far it is and that it is alive, takes over the sockets it was started
// for, and leaves descriptors of running containers there while it restarts.
// Without a service manager the daemon makes its own sockets and the rest does
// nothing.
package systemd
