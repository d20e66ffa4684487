// Package hooks runs the programs by which a site takes part in what the daemon
// does: the script of a driver and then those in the directory beside it
// (/etc/libvirt/hooks/lxc, lxc.d/*).
//
// A program gets four arguments, OBJECT OPERATION PHASE EXTRA, of which an empty one is
// "-", the container's document on standard input, and little else: "/" as its directory,
// PATH and a few other variables, umask 022, no open file. Exit status 0 lets things go on. Its standard
// output goes nowhere; what it writes to standard error is told if it fails.
package hooks
