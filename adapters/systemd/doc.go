// Package systemd is what the daemon has to do with the service manager: it
// tells how far it is and that it is alive, takes over the sockets it was started
// for, and leaves descriptors of running containers there while it restarts.
// Without a service manager the daemon makes its own sockets and the rest does
// nothing.
//
// All of it comes by environment, and is taken out of it before there are children:
//
//	LISTEN_PID, LISTEN_FDS,      descriptors from 3 on: sockets of units, and what an
//	LISTEN_FDNAMES               earlier daemon stored (sd_listen_fds(3)): Receive
//	NOTIFY_SOCKET                where to tell how the daemon is (sd_notify(3)): Notifier
//	WATCHDOG_USEC, WATCHDOG_PID  how often (sd_watchdog_enabled(3)): Notifier.Watchdog
//
// What a service manager says about itself is believed; what contradicts itself is refused.
// A manager that goes away later is warned about and never waited for twice.
package systemd
