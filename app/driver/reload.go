package driver

import (
	"context"
	"sync"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// reloads are the times that definitions are read again, one after the other.
// Files are read while clients write others, since holding every gate for a
// whole directory would stop all work. What was read of a file that a client
// wrote since is left out.
type reloads struct {
	gate jobs.Gate // of whoever reads

	mu sync.Mutex
	// touched are the containers whose files were written by clients while a
	// reading is under way: what was read of them may be old. Nil: there is none.
	touched map[string]bool
}

// begin starts noting which files are written from here on.
func (l *reloads) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = map[string]bool{}
}

// finish forgets the notes, which nobody needs until the next reading.
func (l *reloads) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = nil
}

// touch notes that the files of a container were written. Called with its gate
// held, after writing. Without a reading under way nobody needs the note.
func (l *reloads) touch(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.touched != nil {
		l.touched[name] = true
	}
}

// stale says whether what was read of a container may be older than its file. Asked
// with its gate held, so that no client is writing.
func (l *reloads) stale(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.touched[name]
}

// Reload implements ports.Daemon. Two at once would forget each other's notes;
// hence the gate. Definitions only: whatever runs is not touched.
func (d *Driver) Reload(ctx context.Context) error {
	return d.desk.Do(ctx, &d.reloads.gate, jobs.Wish{Name: callReload, Patient: true}, func(ctx context.Context) error {
		d.reloads.begin()
		defer d.reloads.finish()
		return d.reload(ctx)
	})
}

// reload goes on past containers that cannot be taken over: the rest of the
// directory is not their fault. A file that is missing forgets nothing, and one
// without a definition has nothing to show.
func (d *Driver) reload(ctx context.Context) error {
	stored, err := d.ports.Store.Load(ctx, d.skipDamaged)
	if err != nil {
		return err
	}
	for i := range stored {
		if stored[i].Config == nil {
			continue
		}
		if err := d.reloadOne(ctx, &stored[i]); err != nil {
			d.log.Error("cannot load a container", "container", stored[i].Config.Name, "error", err)
		}
	}
	return nil
}

// skipDamaged is told of files by Store.Load, which leaves them where they are.
func (d *Driver) skipDamaged(path string, err error) {
	d.log.Error("cannot read a file and skip it", "path", path, "error", err)
}

// reloadOne takes over what was read of one container, as its turn comes: it
// may be about to be started. A file without uuid was given a new one by Load,
// and is taken for the container of its name.
func (d *Driver) reloadOne(ctx context.Context, stored *ports.Stored) error {
	if known, err := d.registry.Find(container.Ref{By: container.ByName, Name: stored.Config.Name}); err == nil && stored.Drawn.UUID {
		stored.Config.UUID = known.UUID
	}
	return d.claim(ctx, callReload, stored.Config, func(ctx context.Context, e *entry) error {
		if !d.reloads.stale(e.Name) {
			d.takeOver(ctx, e, stored)
		}
		return nil
	})
}

// takeOver shows what was read where it differs. The mark for autostart is a
// file of its own and changes without an event, as when a client sets it. Where
// nothing differs, no event is sent. Called with the gate held.
func (d *Driver) takeOver(ctx context.Context, e *entry, stored *ports.Stored) {
	before := e.Snapshot()
	if before == nil && d.leftOut(stored) {
		d.log.Warn("a container runs that could not be picked up and stays left out", "container", e.Name)
		return
	}
	if before == nil || !before.Persistent || !d.same(before.Config, stored.Config) {
		d.showDefined(e, stored.Config)
	}
	if e.Snapshot().Autostart != stored.Autostart {
		d.publish(e, func(s *container.Snapshot) { s.Autostart = stored.Autostart })
	}
	d.keepDrawn(ctx, stored)
}

// keepDrawn saves a definition with what its file left out, so that its identity
// stays. Where it cannot be saved, the container is another one to the next daemon.
func (d *Driver) keepDrawn(ctx context.Context, stored *ports.Stored) {
	if stored.Drawn == (ports.Drawn{}) {
		return
	}
	if err := d.ports.Store.SaveDefinition(ctx, stored.Config); err != nil {
		d.log.Warn("cannot save the uuid or addresses that a definition was given", "container", stored.Config.Name, "error", err)
	}
}

// leftOut says whether an unknown container has a status that counts: recovery
// could not take hold of it, and nobody must start it a second time. Only
// recovery has looked at processes; a reload must not let in by the back door
// what it refused.
func (d *Driver) leftOut(stored *ports.Stored) bool {
	facts := d.facts.Load()
	return stored.Status != nil && (facts == nil || stored.Status.BootID == facts.BootID)
}

// same compares definitions as they are stored. So a difference in spelling or
// order that the codec does not keep is none.
func (d *Driver) same(a, b *container.Definition) bool {
	how := ports.Format{ID: container.NoID, Inactive: true, Secure: true}
	return d.ports.Codec.Format(a, how) == d.ports.Codec.Format(b, how)
}
