// Package box tests the installed daemon in a booted Debian with systemd, D-Bus,
// polkit, machined and logind, in namespaces (.ci/rig/systemd-box.sh).
package box
