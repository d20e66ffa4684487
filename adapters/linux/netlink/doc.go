// Package netlink makes the network interfaces of containers.
//
// A pair is made by one message: host end with name, bridge and state, guest
// end with name, hardware address and the namespace it is born in. Nothing is
// ever moved between namespaces, which costs ten times as much as making the
// pair, and no name has to be free on the host but the host end's own. Guest
// addresses and routes are set through a socket that was opened inside the
// namespace.
//
// Sockets belong to the network namespace of the thread that called New,
// whichever thread uses them (network_namespaces(7)). No thread is ever moved: where
// another namespace is needed the library opens a socket there, on a thread that it
// locks and brings back.
//
// Errors carry the kernel's errno, spelled as the C library does, since clients have
// always been shown it so. They are of area Host.
package netlink
