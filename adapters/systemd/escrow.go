package systemd

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// Escrow is the ports.Escrow in the service manager's store of descriptors,
// which outlives a restart of the daemon but not its stop.
//
// A service manager passes every stored descriptor with its name in one variable,
// and a variable has a limit (128 KiB): more names than fit and the service could
// not be started any more. So a container takes one descriptor there, a parcel
// (parcel.go), and there are at most mostParcels. The unit has to allow as many
// (FileDescriptorStoreMax=), and its soft limit of open files (LimitNOFILE=) has
// to be above that, or it could not be started either.
//
// A service manager that cannot be reached counts as none: the notifier warns.
// Methods may be called from any goroutine; those for one container one at a
// time (with its job held), as messages follow each other.
type Escrow struct {
	notifier *Notifier
	log      *slog.Logger

	mu     sync.Mutex
	stored map[container.UUID]bool     // what is in the store
	left   map[container.UUID]*os.File // parcels from there, until they are asked for
	full   bool                        // and that was logged
}

// storedPrefix begins the names of parcels. No socket unit has such a name.
const storedPrefix = "vlx-"

// mostParcels leaves room for the names of sockets: 3000 names take 120 KiB. Each is
// "vlx-", a uuid and a colon: 41 bytes.
const mostParcels = 3000

// storedName is FDNAME (sd_notify(3)): ASCII without controls and colons, at most 255
// characters.
func storedName(uuid container.UUID) string { return storedPrefix + uuid.String() }

var _ ports.Escrow = (*Escrow)(nil)

// NewEscrow returns the escrow behind the service manager of notifier. It owns
// what was stored. What makes no sense is removed from the store. Names are compared as a
// whole, so a uuid in another spelling makes no sense either.
func NewEscrow(notifier *Notifier, stored Stored, log *slog.Logger) *Escrow {
	e := &Escrow{
		notifier: notifier, log: log,
		stored: make(map[container.UUID]bool), left: make(map[container.UUID]*os.File),
	}
	for name, file := range stored {
		uuid, err := container.ParseUUID(strings.TrimPrefix(name, storedPrefix))
		if err != nil || storedName(uuid) != name {
			log.Warn("the service manager kept a descriptor of unknown meaning", "name", name)
			file.Close() // only this number of it
			e.remove(name)
			continue
		}
		e.left[uuid], e.stored[uuid] = file, true
	}
	return e
}

// Keep removes first what was kept: the store may hold several of one name, and
// the receiver could not tell which is the newest. held stays the caller's. Without a
// service manager, or room, nothing is kept and that is no error: the container loses its
// consoles with both daemon and controller, as it would anyway. It takes duplicates; what
// it could not pack leaves the container without a parcel.
func (e *Escrow) Keep(uuid container.UUID, held ports.Held) error {
	if err := e.Drop(uuid); err != nil || !e.notifier.present() || !e.admit(uuid) {
		return err
	}
	// Packed before it is sent: a parcel is whole or is not there.
	parcel, err := seal(held)
	if err != nil {
		return errors.Join(err, e.Drop(uuid))
	}
	// Nothing is at the other end of a parcel: polled, it would be taken for dead.
	err = e.notifier.send("FDSTORE=1\nFDNAME="+storedName(uuid)+"\nFDPOLL=0", parcel)
	return errors.Join(err, parcel.Close())
}

// admit counts a container in if there is room. The first refusal is logged, and the next
// one only after there was room again.
func (e *Escrow) admit(uuid container.UUID) bool {
	e.mu.Lock()
	room := len(e.stored) < mostParcels
	if room {
		e.stored[uuid] = true
	}
	// Logged outside of the lock.
	tell := !room && !e.full
	e.full = !room
	e.mu.Unlock()
	if tell {
		e.log.Warn("the service manager keeps descriptors of no further container", "kept", mostParcels)
	}
	return room
}

// Drop also closes what was left and not asked for. Dropping what was never kept is fine.
// It fails only if the parcel cannot be closed.
func (e *Escrow) Drop(uuid container.UUID) error {
	e.mu.Lock()
	stored, parcel := e.stored[uuid], e.left[uuid]
	delete(e.stored, uuid)
	delete(e.left, uuid)
	e.mu.Unlock()
	if stored {
		e.remove(storedName(uuid))
	}
	if parcel == nil {
		return nil
	}
	return parcel.Close()
}

// remove takes all of that name out of the store. The service manager closes what it
// takes out. Names it does not know it ignores.
func (e *Escrow) remove(name string) {
	_ = e.notifier.send("FDSTOREREMOVE=1\nFDNAME="+name, nil) // fails only with a file
}

// Kept finds the process by its descriptor; PID and Start are zero when it has
// been reaped since. It answers once for each container: the caller owns what it gets, and
// the store goes on to hold its own. What is of no use is dropped, and logged.
func (e *Escrow) Kept(uuid container.UUID) (ports.Held, bool) {
	e.mu.Lock()
	parcel := e.left[uuid]
	delete(e.left, uuid)
	e.mu.Unlock()
	if parcel == nil {
		return ports.Held{}, false
	}
	held, err := unseal(parcel)
	if err = errors.Join(err, parcel.Close()); err == nil {
		return held, true
	}
	e.log.Warn("what the service manager kept of a container is of no use", "uuid", uuid.String(), "error", err)
	_ = e.Drop(uuid) // there is no parcel left to close
	return ports.Held{}, false
}

// Close leaves in the store what was asked for or kept since. What an earlier daemon left
// and nobody asked for is of containers that are gone: it is dropped. Errors are those of
// closing parcels.
func (e *Escrow) Close() error {
	e.mu.Lock()
	var gone []container.UUID
	for uuid := range e.left {
		gone = append(gone, uuid)
	}
	e.mu.Unlock()
	var errs []error
	for _, uuid := range gone {
		errs = append(errs, e.Drop(uuid))
	}
	return errors.Join(errs...)
}
