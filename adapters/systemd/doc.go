// Package systemd is what the daemon has to do with the service manager: it
// tells how far it is, and takes over the sockets it was started for. Without a
// service manager the one does nothing and the daemon makes its own sockets.
package systemd
