package logging

import (
	"errors"
	"sync/atomic"
)

// outputs are those of one setting. They are closed when the setting is
// replaced and the last record that was on its way is printed: by counting users, as a
// lock would be held over writes.
type outputs struct {
	list      []*output
	byDefault bool
	users     atomic.Int64 // 0: closed
}

// newOutputs returns them with one user, the setting.
func newOutputs(list []*output, byDefault bool) *outputs {
	o := &outputs{list: list, byDefault: byDefault}
	o.users.Store(1)
	return o
}

// acquire returns the current ones. Release them. Ones whose last user is just leaving are
// not current any more, so the next look finds others. A count that reached 0 never grows
// again: the sinks may be closed already.
func acquire(current *atomic.Pointer[outputs]) *outputs {
	for {
		o := current.Load()
		users := o.users.Load()
		if users > 0 && o.users.CompareAndSwap(users, users+1) {
			return o
		}
	}
}

// release gives them up; the last user closes them and gets the errors. Each acquire, and
// newOutputs, is released once.
func (o *outputs) release() error {
	if o.users.Add(-1) > 0 {
		return nil
	}
	var all []error
	for _, one := range o.list {
		all = append(all, one.sink.Close())
	}
	return errors.Join(all...)
}
