package process

import (
	"bytes"
	"strconv"

	"virtlxcd/domain/fault"
)

// startTime is field 22 of /proc/PID/stat (proc(5)). Field 2 is the program's
// name in parentheses and may hold anything, parentheses and blanks too.
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

// masks are signal sets; signal n is bit n-1.
type masks struct{ blocked, ignored, caught uint64 }

func (m masks) handled() uint64 { return m.caught | m.blocked&^m.ignored }

// signalMasks reads them from /proc/PID/status.
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
