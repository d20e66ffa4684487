// Package proc reads facts about the machine from /proc and /sys.
//
// What cannot change while the daemon runs is read once; processors and memory
// cells are read again when the list of those online changes; the rest, a
// handful of short files, every time. A start asks for facts, so they have to
// be cheap: well below a millisecond.
package proc
