package fakes

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// disk is what is on the host's disk. Definitions are kept as values. A file is a value
// and a word about what is wrong with it, as there is no text that could be read.
type disk struct {
	configs     map[string]*container.Definition
	marks       map[string]bool // autostart
	statuses    map[string]*container.Status
	damaged     map[string]bool // paths
	anonymous   map[string]bool // names of configs whose file has no uuid
	autostarted bool
	full        bool
}

func newDisk() disk {
	return disk{
		configs: map[string]*container.Definition{}, marks: map[string]bool{},
		statuses: map[string]*container.Status{}, damaged: map[string]bool{}, anonymous: map[string]bool{},
	}
}

// newBoot drops what lies in memory. That is /run: statuses, what is wrong with them,
// and the note that autostart is done.
func (d *disk) newBoot() {
	for name := range d.statuses {
		delete(d.damaged, statusPath(name))
	}
	clear(d.statuses)
	d.autostarted = false
}

// configPath and statusPath are only to name files in messages and in the set of
// damaged ones.
func configPath(name string) string { return "/etc/" + name }
func statusPath(name string) string { return "/run/" + name }

// Store keeps definitions on the Host.
type Store struct{ host *Host }

// NewStore returns the port.
func NewStore(host *Host) *Store { return &Store{host} }

// Load returns copies, sorted by name. Damaged is called without the lock, after all
// was read, and not at all if the call fails.
func (s *Store) Load(ctx context.Context, damaged func(path string, err error)) (all []ports.Stored, err error) {
	var bad []string
	err = s.host.do(ctx, "Store.Load", func() error {
		all, bad = s.host.disk.load()
		for i := range all {
			s.host.identify(&all[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, path := range bad {
		damaged(path, fault.Wrap(errors.New("unexpected end of document"), fault.Malformed, "cannot parse '%s'", path))
	}
	return all, nil
}

// load joins both files of a name. Of a damaged one the other still counts. A container
// with one damaged file and no other is not in it, but its path is reported.
func (d *disk) load() (all []ports.Stored, bad []string) {
	names := map[string]bool{}
	for name := range d.configs {
		names[name] = true
	}
	for name := range d.statuses {
		names[name] = true
	}
	for _, name := range sorted(names) {
		var one ports.Stored
		if config := d.configs[name]; config != nil {
			if path := configPath(name); d.damaged[path] {
				bad = append(bad, path)
			} else {
				one.Config, one.Autostart = config.Clone(), d.marks[name]
			}
		}
		if status := d.statuses[name]; status != nil {
			if path := statusPath(name); d.damaged[path] {
				bad = append(bad, path)
			} else {
				one.Status = cloneStatus(status)
			}
		}
		if one.Config != nil || one.Status != nil {
			all = append(all, one)
		}
	}
	return all, bad
}

// identify gives a uuid to a definition whose file has none. It is the one it runs
// under, or a new one for each Load, as the file stays as it is.
func (h *Host) identify(one *ports.Stored) {
	switch {
	case one.Config == nil || !h.disk.anonymous[one.Config.Name]:
		return
	case one.Status != nil:
		one.Config.UUID = one.Status.Definition.UUID
	default:
		one.Config.UUID = h.nextUUID()
	}
	one.Drawn.UUID = true
}

// cloneStatus shares nothing with the original. What was saved must not change when its
// maker goes on with it.
func cloneStatus(status *container.Status) *container.Status {
	c := *status
	c.Definition = status.Definition.Clone()
	return &c
}

// write runs effect if there is room. ENOSPC otherwise, with the old file as it was.
// Whatever is written is whole again.
func (s *Store) write(ctx context.Context, op, path string, effect func(d *disk)) error {
	return s.host.do(ctx, op, func() error {
		d := &s.host.disk
		if d.full {
			return refused(syscall.ENOSPC, "cannot write '%s'", path)
		}
		effect(d)
		delete(d.damaged, path)
		return nil
	})
}

// SaveDefinition keeps a copy. It has a uuid from then on.
func (s *Store) SaveDefinition(ctx context.Context, definition *container.Definition) error {
	name := definition.Name
	return s.write(ctx, "Store.SaveDefinition", configPath(name), func(d *disk) {
		d.configs[name] = definition.Clone()
		delete(d.anonymous, name)
	})
}

// RemoveDefinition needs no room. So it works on a full disk, as unlink(2) does. The
// mark goes along; the status stays.
func (s *Store) RemoveDefinition(ctx context.Context, name string) error {
	return s.host.do(ctx, "Store.RemoveDefinition", func() error {
		d := &s.host.disk
		delete(d.configs, name)
		delete(d.marks, name)
		delete(d.anonymous, name)
		delete(d.damaged, configPath(name))
		return nil
	})
}

// SetAutostart sets the mark. A mark for what is not defined is kept, and seen by
// String, but Load does not show it. One that is set needs no more room.
func (s *Store) SetAutostart(ctx context.Context, name string, on bool) error {
	return s.host.do(ctx, "Store.SetAutostart", func() error {
		d := &s.host.disk
		if !on {
			delete(d.marks, name)
			return nil
		}
		if d.full && !d.marks[name] {
			return refused(syscall.ENOSPC, "cannot mark '%s'", name)
		}
		d.marks[name] = true
		return nil
	})
}

// SaveStatus keeps a copy. It lies in memory on a real host, but a full disk counts for
// it as well.
func (s *Store) SaveStatus(ctx context.Context, status *container.Status) error {
	name := status.Definition.Name
	return s.write(ctx, "Store.SaveStatus", statusPath(name), func(d *disk) {
		d.statuses[name] = cloneStatus(status)
	})
}

// RemoveStatus needs no room.
func (s *Store) RemoveStatus(ctx context.Context, name string) error {
	return s.host.do(ctx, "Store.RemoveStatus", func() error {
		delete(s.host.disk.statuses, name)
		delete(s.host.disk.damaged, statusPath(name))
		return nil
	})
}

// FirstStartSinceBoot is true once per Boot. It is asked of the host, not of the
// daemon: a new Store does not make it true again.
func (s *Store) FirstStartSinceBoot(ctx context.Context) (first bool, err error) {
	err = s.host.do(ctx, "Store.FirstStartSinceBoot", func() error {
		first = !s.host.disk.autostarted
		s.host.disk.autostarted = true
		return nil
	})
	return first, err
}

// DamageDefinition makes a stored definition unreadable until it is saved anew. Load
// reports it then; removing it makes it whole too, in that it is gone.
func (h *Host) DamageDefinition(name string) {
	h.look(func() { h.disk.damaged[configPath(name)] = true })
}

// StripUUID takes the uuid out of a stored definition until it is saved anew.
func (h *Host) StripUUID(name string) { h.look(func() { h.disk.anonymous[name] = true }) }

// DamageStatus makes a stored status unreadable until it is saved anew.
func (h *Host) DamageStatus(name string) {
	h.look(func() { h.disk.damaged[statusPath(name)] = true })
}

// FillDisk makes writes fail with ENOSPC, or work again. What needs no room goes on
// working.
func (h *Host) FillDisk(full bool) { h.look(func() { h.disk.full = full }) }

// sorted returns the keys in order. Maps have no order, and whatever is printed or gone
// through must have one.
func sorted[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
