// Package registry knows all containers, by name, UUID and id, and publishes
// what each looks like.
//
// Reading never waits for a change: every container has one immutable snapshot,
// swapped as a whole, and the sorted list of all of them is swapped likewise.
package registry

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// Entry is one container, from its claim until it is dropped. Name and UUID never
// change: a container under another name is another entry. Data is the owner's; the
// registry never looks at it.
type Entry[T any] struct {
	Name string
	UUID container.UUID
	Gate jobs.Gate // of whoever changes Data or publishes
	Data T

	snapshot atomic.Pointer[container.Snapshot]
	gone     atomic.Bool
}

// Snapshot is what was published last; nil before the first time.
func (e *Entry[T]) Snapshot() *container.Snapshot { return e.snapshot.Load() }

// Gone says that the entry was dropped: whoever waited for its gate must look
// again.
func (e *Entry[T]) Gone() bool { return e.gone.Load() }

// Registry is the set of entries. All methods are safe from any goroutine and
// call nothing with the lock held. Maps find an entry for whoever wants to
// change it; the list serves readers, who need no lock at all.
type Registry[T any] struct {
	list atomic.Pointer[[]*container.Snapshot] // sorted by name

	mu     sync.RWMutex
	byUUID map[container.UUID]*Entry[T]
	byName map[string]*Entry[T]
	ids    map[int]*Entry[T] // reserved, shown or not
}

// New returns an empty registry.
func New[T any]() *Registry[T] {
	r := &Registry[T]{
		byUUID: map[container.UUID]*Entry[T]{},
		byName: map[string]*Entry[T]{},
		ids:    map[int]*Entry[T]{},
	}
	r.list.Store(new([]*container.Snapshot))
	return r
}

// Claim returns the entry of that name and uuid, and makes it if there is none:
// then it stays invisible until it is published. Kind Failed if one of the two
// belongs to another container. Claiming twice gives the same entry. Who claims
// must look at Gone with the gate held, as it may have been dropped while the
// gate was waited for.
func (r *Registry[T]) Claim(name string, uuid container.UUID) (*Entry[T], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.byUUID[uuid]; ok {
		if e.Name != name {
			return nil, fault.UUIDTaken(e.Name, uuid.String())
		}
		return e, nil
	}
	if e, ok := r.byName[name]; ok {
		return nil, fault.NameTaken(name, e.UUID.String())
	}
	e := &Entry[T]{Name: name, UUID: uuid}
	r.byUUID[uuid], r.byName[name] = e, e
	return e, nil
}

// Publish makes snapshot what readers see of e, and owns it from then on: it must
// not be changed any more. Called with e's gate held. The list is copied each time,
// which costs less than readers who wait: there are many lists to one change.
func (r *Registry[T]) Publish(e *Entry[T], snapshot *container.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.snapshot.Store(snapshot)
	old := *r.list.Load()
	at, known := slices.BinarySearchFunc(old, e.Name, byName)
	fresh := make([]*container.Snapshot, 0, len(old)+1)
	fresh = append(append(fresh, old[:at]...), snapshot)
	if known {
		at++
	}
	fresh = append(fresh, old[at:]...)
	r.list.Store(&fresh)
}

// Drop forgets e. Called with e's gate held. Dropping twice is harmless. Its id
// is not released by it. Those who find the name free may claim it at once,
// while e's gate is still held: the two entries have gates of their own.
func (r *Registry[T]) Drop(e *Entry[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.gone.Swap(true) {
		return
	}
	delete(r.byUUID, e.UUID)
	delete(r.byName, e.Name)
	old := *r.list.Load()
	if at, known := slices.BinarySearchFunc(old, e.Name, byName); known {
		fresh := slices.Concat(old[:at], old[at+1:])
		r.list.Store(&fresh)
	}
}

// byName is the order of the list: by bytes, as the names are.
func byName(s *container.Snapshot, name string) int { return cmp.Compare(s.Name, name) }

// List returns all published containers, sorted by name. It is shared: read only.
func (r *Registry[T]) List() []*container.Snapshot { return *r.list.Load() }

// Entries returns all published entries, sorted by name. They are as of now:
// each may be dropped by the time it is looked at.
func (r *Registry[T]) Entries() []*Entry[T] {
	r.mu.RLock()
	entries := make([]*Entry[T], 0, len(r.byName))
	for _, e := range r.byName {
		if e.Snapshot() != nil {
			entries = append(entries, e)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(entries, func(a, b *Entry[T]) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// Find returns a published entry. Kind NotFound, in the words of the kind of
// ref. An id is found only while the snapshot shows it, so neither during a
// start nor after an end that has been published.
func (r *Registry[T]) Find(ref container.Ref) (*Entry[T], error) {
	r.mu.RLock()
	var e *Entry[T]
	switch ref.By {
	case container.ByName:
		e = r.byName[ref.Name]
	case container.ByID:
		e = r.ids[ref.ID]
	default:
		e = r.byUUID[ref.UUID]
	}
	r.mu.RUnlock()
	if e == nil {
		return nil, missing(ref)
	}
	snapshot := e.Snapshot()
	if snapshot == nil || ref.By == container.ByID && snapshot.ID != ref.ID {
		return nil, missing(ref)
	}
	return e, nil
}

// missing says in the words of the interface what was looked for. Clients and their
// suites compare them, so each kind of lookup has its own.
func missing(ref container.Ref) error {
	switch ref.By {
	case container.ByName:
		return fault.NoSuchName(ref.Name)
	case container.ByID:
		return fault.NoSuchID(ref.ID)
	case container.ByUUIDLookup:
		return fault.NoSuchUUID(ref.UUID.String())
	}
	return fault.Gone(ref.UUID.String(), ref.Name)
}

// ReserveID gives e the first free id from preferred on, at least 1: 0 and -1 mean
// none to clients. One controller may hold several containers, so its pid alone
// would not tell them apart. Find by id sees it once a snapshot shows it.
func (r *Registry[T]) ReserveID(e *Entry[T], preferred int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := max(preferred, 1)
	for r.ids[id] != nil {
		id++
	}
	r.ids[id] = e
	return id
}

// ReleaseID makes e's id free again; ids of others are left alone. Twice is
// harmless.
func (r *Registry[T]) ReleaseID(e *Entry[T], id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] == e {
		delete(r.ids, id)
	}
}
