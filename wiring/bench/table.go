package main

import (
	"errors"
	"fmt"
	"io"
)

// row is one figure: less is better, or more.
// Figures of both sides have the unit of the row.
type row struct {
	name         string
	unit         string
	ours, theirs float64
	floor        float64 // what ours has to reach
	more         bool    // is better
}

// rows are the table. Floors are what the project promises of its own daemon, whatever the
// original does.
// A floor of a time or a size is the most it may be, that of a rate the least.
func rows(ours, theirs figures) []row {
	return []row{
		{"create, own network", "ms", ours.create, theirs.create, 6, false},
		{"create, one bridged link", "ms", ours.createLinked, theirs.createLinked, 9, false},
		{"destroy, init handles SIGTERM", "ms", ours.destroy, theirs.destroy, 8, false},
		{"destroy, init ignores it", "ms", ours.destroyKilled, theirs.destroyKilled, 8, false},
		{"exit to stopped event", "ms", ours.event, theirs.event, 3, false},
		{"getInfo, 1 connection", "1/s", ours.info, theirs.info, 20_000, true},
		{"getInfo, 64 connections", "1/s", ours.info64, theirs.info64, 60_000, true},
		{"list of 1000 definitions", "1/s", ours.list, theirs.list, 8_000, true},
		{"controller, PSS", "KiB", ours.memory, theirs.memory, 800, false},
	}
}

// missed is also true of a figure that was not measured where more is better.
// A time that was not measured is 0 and misses nothing; measure has failed by then.
func (r *row) missed() bool {
	if r.more {
		return r.ours < r.floor
	}
	return r.ours > r.floor
}

// ratio is how many times better ours is; 0 without an original. Times are divided one way,
// rates the other.
// Above 1 is good in every row.
func (r *row) ratio() float64 {
	switch {
	case r.theirs == 0 || r.ours == 0:
		return 0
	case r.more:
		return r.ours / r.theirs
	}
	return r.theirs / r.ours
}

// report prints the table, with "-" where there is no original, and fails if a floor was
// missed. Ratios say how many times better ours is, whichever way better is.
// The columns fit 80 characters, marks aside.
func report(out io.Writer, ours, theirs figures) error {
	fmt.Fprintf(out, "%-32s %12s %12s %8s %12s\n", "", "virtlxcd", "original", "ratio", "floor")
	missed := 0
	for _, r := range rows(ours, theirs) {
		mark := ""
		if r.missed() {
			missed++
			mark = "  missed"
		}
		original, ratio := "-", "-"
		if r.theirs != 0 {
			original, ratio = fmt.Sprintf("%.5g", r.theirs), fmt.Sprintf("%.1f x", r.ratio())
		}
		fmt.Fprintf(out, "%-32s %8.5g %-3s %12s %8s %12g%s\n", r.name, r.ours, r.unit, original, ratio, r.floor, mark)
	}
	if missed > 0 {
		return errors.New(fmt.Sprint(missed, " floors were missed"))
	}
	return nil
}
