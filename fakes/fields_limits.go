package fakes

import (
	"strconv"
	"strings"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// limits names the limits that are sizes. The names are short for those of formatdomain
// (memtune, cputune). Memory is in KiB, the period in microseconds. Quota and weight
// have other types and are handled apart.
var limits = []struct {
	name string
	at   func(*policy.Limits) **uint64
}{
	{"hard", func(l *policy.Limits) **uint64 { return &l.MemoryHard }},
	{"soft", func(l *policy.Limits) **uint64 { return &l.MemorySoft }},
	{"swap", func(l *policy.Limits) **uint64 { return &l.SwapHard }},
	{"shares", func(l *policy.Limits) **uint64 { return &l.CPUShares }},
	{"period", func(l *policy.Limits) **uint64 { return &l.CPUPeriod }},
	{"pids", func(l *policy.Limits) **uint64 { return &l.PIDs }},
}

// getLimits is a line for each: "limit hard 65536".
func getLimits(d *definition) [][]string { return limitWords(&d.Limits) }

// limitWords leaves out what is not set. Zero is a value: only nil is not set. The
// order is fixed, as documents and hosts are compared by their text.
func limitWords(l *policy.Limits) (lines [][]string) {
	for _, limit := range limits {
		if value := *limit.at(l); value != nil {
			lines = append(lines, []string{limit.name, strconv.FormatUint(*value, 10)})
		}
	}
	if l.CPUQuota != nil {
		lines = append(lines, []string{"quota", strconv.FormatInt(*l.CPUQuota, 10)})
	}
	if l.BlockWeight != nil {
		lines = append(lines, []string{"weight", strconv.FormatUint(uint64(*l.BlockWeight), 10)})
	}
	if l.CPUSet != "" {
		lines = append(lines, []string{"cpuset", l.CPUSet})
	}
	return lines
}

// printLimits is one line for Host.String, with a blank before each limit. A size of 64
// MiB is " hard=65536".
func printLimits(l *policy.Limits) (text string) {
	for _, words := range limitWords(l) {
		text += " " + strings.Join(words, "=")
	}
	return text
}

// setLimit tells the list of processors apart, as it is no number.
func setLimit(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	if words[0] == "cpuset" {
		d.Limits.CPUSet = words[1]
		return nil
	}
	return setNumber(&d.Limits, words[0], words[1])
}

// setNumber sets a limit that is a number. Only a quota may be negative. An unknown
// name is BadDefinition, and so is a number that does not fit, by the caller's
// wrapping. A negative quota is none, as clients say it.
func setNumber(l *policy.Limits, name, text string) error {
	if name == "quota" {
		n, err := strconv.ParseInt(text, 10, 64)
		l.CPUQuota = &n
		return err
	}
	if name == "weight" {
		n, err := strconv.ParseUint(text, 10, 32)
		l.BlockWeight = new(uint(n))
		return err
	}
	for _, limit := range limits {
		if limit.name == name {
			n, err := strconv.ParseUint(text, 10, 64)
			*limit.at(l) = &n
			return err
		}
	}
	return fault.New(fault.BadDefinition, fault.Document, "unknown limit '%s'", name)
}
