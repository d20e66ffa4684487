// Package harness is the whole daemon on a machine in memory: the real server,
// handlers, document format and use cases over the fakes. Tests use it to drive
// all of that without root; Serve is the same for people who build clients
// (cmd/virtlxcd-fake).
//
// A Machine outlives its daemon: Stop or Kill the daemon and Start another on
// what is left, as it happens on a real one. With a Prefix clients connect to
// sockets below it; without one Dial gives in-memory connections, and then
// nothing leaves a testing/synctest bubble.
package harness
