// Package rpc serves the libvirt protocol: listeners, sessions, dispatch, streams and
// keepalive. What the procedures do is in its sub-packages; they see a Call and a
// Session.
//
// # Goroutines
//
// A session has one reader. It answers pings, matches stream packets, refuses what can
// not be served and starts calls. A call runs
//
//   - in a goroutine of its own at once, if its procedure is High,
//   - in a goroutine of its own when a worker of the server's pool is free, if it is
//     ordinary,
//   - in the reader, if it is Inline.
//
// So an ordinary call, however slow, never delays one that is High. There is no
// writer: whoever has something to send while nobody writes, writes (see outbox). A
// worker is given back before the answer is written, because that may wait for the
// client. Each stream has two goroutines, each listener one. All are waited for, by
// the session before its hooks run, by Server.Close before it returns.
//
// # Back-pressure
//
// Nothing is refused and nothing grows without bound:
//
//   - A client has Options.MaxRequests calls in service, counted until the answer has
//     been written. Further calls are read and wait in the session's inbox, up to
//     a megabyte; then the connection is not read. Reading beyond the slots keeps the
//     connection alive: pings behind waiting calls are answered and a hang-up is seen.
//   - Stream data its sink does not take waits in the same megabyte and takes no slot.
//     If it did, five key strokes for a console that nobody reads would block all calls
//     and keepalive of the connection.
//   - A stream's source is read again when the packet before has been written.
//   - Events are queued up to a limit far above any burst; a client that lets it
//     overflow is disconnected. Events must never make their sender wait.
//
// # Silence
//
// A client may be silent for ever, and costs little then: a goroutine, no buffer and
// no timer (see frame.Reader). What it may not do is begin a packet and leave it
// unfinished (Options.PacketLimit), or keep one of the few places of those that have
// not authenticated (Options.AuthLimit).
//
// # Locks
//
// No lock is held over I/O or while calling out. Where two are held at once the order
// is: stream or keepalive, inbox. All others are taken alone.
package rpc
