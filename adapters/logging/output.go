package logging

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// patience is how long an output that worked so far may hold up a record. One
// that does not work is not waited for.
const patience = time.Second

// errStuck: nobody takes what is written. It is not shown to anybody: the record counts
// as lost.
var errStuck = errors.New("not ready for more")

// sink is the outside of an output. Its methods are safe from any goroutine.
type sink interface {
	// write prints the entries in their order. It waits at most as long as
	// patience says before each part. On failure part of them may be printed.
	write(batch []*entry, patience time.Duration) error
	Close() error
}

// output prints records of a priority and above. A failure is nobody's concern
// but that of the next reader: it is counted, and told as soon as the output
// works again.
type output struct {
	target
	sink   sink
	least  atomic.Int32 // priority; that of a default output follows the level
	banner []string
	begun  atomic.Bool
	lost   atomic.Int64
}

// newOutput owns the sink. The banner is printed with the first record, not before: an
// output that gets none stays empty.
func newOutput(t target, s sink, banner []string) *output {
	o := &output{target: t, sink: s, banner: banner}
	o.least.Store(int32(t.priority))
	return o
}

// lowest is what adjust set last, or the target's own priority.
func (o *output) lowest() priority { return priority(o.least.Load()) }

// shown is the setting, as it is now.
func (o *output) shown() string {
	t := o.target
	t.priority = o.lowest()
	return t.String()
}

// write prints an entry, after the banner if it is the first, and after a line about what
// was lost if something was. All in one batch: it is there or lost as a whole. While an
// output does not work nobody waits for it, so a daemon whose log is stuck works on.
// Records of other goroutines may come before the banner: one carries it and nobody waits
// for that one. If it fails, the next record brings the banner again.
func (o *output) write(e *entry) {
	var batch []*entry
	first := o.begun.CompareAndSwap(false, true)
	if first {
		for _, text := range o.banner {
			batch = append(batch, e.like(info, text))
		}
	}
	// Swapped, so that of several goroutines one tells the number.
	lost, wait := o.lost.Swap(0), patience
	if lost > 0 {
		batch = append(batch, e.like(warning, fmt.Sprintf("%d records could not be written here and are lost", lost)))
		wait = 0
	}
	if err := o.sink.write(append(batch, e), wait); err != nil {
		o.lost.Add(lost + 1)
		if first {
			o.begun.Store(false)
		}
	}
}
