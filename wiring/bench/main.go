// Command bench measures virtlxcd against the original, where that is
// installed, in one run: same machine, same client, same containers. It prints
// a table of figures, ratios and floors, and fails if a floor is missed.
//
// It needs root and works in namespaces of its own (mounts, network, control
// groups), so that neither daemon meets the host's files or groups. Nothing is left behind.
//
// Both daemons get the same packets from the same client, one daemon after the other, so
// that a ratio means something where times do not: on another machine, or a busy one.
package main

import (
	"fmt"
	"os"
)

func main() {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: needs root: it starts containers")
		os.Exit(1)
	}
	run := enter // which runs this program again, inside
	if len(os.Args) > 1 && os.Args[1] == inside {
		run = measure
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs both daemons one after the other. Without an original, or with one that
// fails, ours is compared with the floors alone.
// It is the part that runs inside, see enter in sandbox.go. Ours first, in a fresh
// directory: what it leaves is not in the way of the original, which has paths of its own.
func measure() error {
	dir, err := prepare()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := figuresOf(newOurs(dir), dir)
	if err != nil {
		return fmt.Errorf("virtlxcd: %w", err)
	}
	var theirs figures
	if original := newOriginal(dir); original != nil {
		if theirs, err = figuresOf(original, dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench: the original could not be measured to the end:", err)
		}
	}
	return report(os.Stdout, ours, theirs)
}
