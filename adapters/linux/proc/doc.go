// Package proc reads facts about the machine from /proc and /sys.
//
// What cannot change while the daemon runs is read once; processors and memory
// cells are read again when the list of those online changes; the rest, a
// handful of short files, every time. A start asks for facts, so they have to
// be cheap: well below a millisecond.
//
// A file that is missing, unreadable or not as it should be leaves its fact zero:
// no host has all of them, and none is worth a daemon that does not start. Formats are
// those of proc(5), sysfs(5) and the kernel's ABI documents.
package proc
