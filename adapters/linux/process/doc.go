// Package process looks at processes of the host and sends them signals,
// through pidfds: a pid alone may have passed to another process by the time it
// is used.
//
// What only /proc can tell is read below /proc/PID and believed if the pidfd
// says afterwards that the process was still there: then the directory was its
// own. No more than the pidfd is kept open per process (pidfd_open(2), proc(5)).
//
// Everything below /proc/PID of a container's process, and every path below its
// root, is written by a stranger: reads are bounded, walks stay below the root, and
// nothing is waited for.
package process
