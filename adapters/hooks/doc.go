// Package hooks runs the programs by which a site takes part in what the daemon
// does: the script of a driver and then those in the directory beside it
// (/etc/libvirt/hooks/lxc, lxc.d/*).
package hooks
