package process

import (
	"bytes"
	"strconv"

	"virtlxcd/domain/fault"
)

// startTime is field 22 of /proc/PID/stat (proc_pid_stat(5)), in clock ticks since
// the host booted. Field 2 is the program's name in parentheses and may hold
// anything, parentheses, blanks and line ends too:
//
//	4711 (a) b) S 1 4711 4711 0 -1 ...
func startTime(stat []byte) (uint64, error) {
	const first, wanted = 3, 22 // number of the field behind the name, and ours
	if end := bytes.LastIndexByte(stat, ')'); end >= 0 {
		fields := bytes.Fields(stat[end+1:])
		if len(fields) > wanted-first {
			start, err := strconv.ParseUint(string(fields[wanted-first]), 10, 64)
			if err == nil {
				return start, nil
			}
		}
	}
	return 0, fault.New(fault.System, fault.Host, "cannot read the start time of a process from %.80q", stat)
}

// masks are signal sets; signal n is bit n-1. Blocked is the set of the thread that
// leads, caught and ignored belong to all threads.
type masks struct{ blocked, ignored, caught uint64 }

// handled are signals that do something the program has chosen: it has a handler, or
// keeps them for signalfd(2) or sigwait(3). Nobody reads what is ignored.
func (m masks) handled() uint64 { return m.caught | m.blocked&^m.ignored }

// signalMasks reads them from /proc/PID/status, where each is a line of 16 digits,
// in this order, after the name of the program, whose line ends are escaped:
//
//	SigBlk:	7be3c0fe28014a03
//	SigIgn:	0000000000001000
//	SigCgt:	00000000000004ec
func signalMasks(status []byte) (masks, error) {
	var m masks
	fields := []struct {
		label string
		mask  *uint64
	}{{"SigBlk:", &m.blocked}, {"SigIgn:", &m.ignored}, {"SigCgt:", &m.caught}}
	for line := range bytes.Lines(status) {
		if len(fields) == 0 {
			break
		}
		digits, ok := bytes.CutPrefix(line, []byte(fields[0].label))
		if !ok {
			continue
		}
		value, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil {
			return masks{}, fault.Wrap(err, fault.System, "cannot read the signals of a process")
		}
		*fields[0].mask = value
		fields = fields[1:]
	}
	if len(fields) != 0 {
		return masks{}, fault.New(fault.System, fault.Host, "cannot read the signals of a process: no %s", fields[0].label)
	}
	return m, nil
}
