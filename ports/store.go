package ports

import (
	"context"

	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
)

// Stored is everything the disk knows about one container. Either part may be nil.
type Stored struct {
	Config    *container.Definition
	Autostart bool
	Status    *container.Status
	// Drawn is what Config has that its file has not: whoever uses it should save
	// it, or it is another at the next Load.
	Drawn Drawn
}

// Drawn says what a document left out, so that it was taken from entropy.
type Drawn struct {
	UUID      bool
	Addresses bool // of one link or several
}

// Store keeps definitions and status across restarts of the daemon. Any name that a
// container may have is fine: it has no slash. Methods for one container are called
// with its job held, those for others and Load at the same time: Load sees each file
// as it was or as it will be.
type Store interface {
	// Load reads all. One unreadable file is reported by damaged (path, error)
	// and skipped, never deleted. A definition whose file has no uuid gets that of
	// its status, else a new one.
	Load(ctx context.Context, damaged func(path string, err error)) ([]Stored, error)
	// SaveDefinition replaces the stored definition: after a failure or a power
	// cut the old file is whole. Kind System with the errno.
	SaveDefinition(ctx context.Context, definition *container.Definition) error
	// RemoveDefinition removes it and its autostart mark; absent is fine.
	RemoveDefinition(ctx context.Context, name string) error
	// SetAutostart sets or clears the mark; setting what is set does nothing.
	SetAutostart(ctx context.Context, name string, on bool) error
	// SaveStatus replaces the status. It survives the daemon, not the host.
	SaveStatus(ctx context.Context, status *container.Status) error
	// RemoveStatus removes it; absent is fine.
	RemoveStatus(ctx context.Context, name string) error
	// FirstStartSinceBoot says whether autostart is still to be done, and
	// remembers that it now is.
	FirstStartSinceBoot(ctx context.Context) (bool, error)
}

// Codec turns documents into definitions and back. Pure: safe from any goroutine. It
// keeps nothing of its arguments and does not change them. What Format prints, Parse
// reads, and Format prints that the same again.
type Codec interface {
	// Peek reads only name and uuid, cheaply, so that access can be checked
	// before Parse. A missing uuid is zero with hasUUID false.
	Peek(document string) (name string, uuid container.UUID, hasUUID bool, err error)
	// Parse reads and validates a document. What it leaves out (uuid, MACs) is
	// taken from entropy. Kinds Malformed, BadDefinition, UnsupportedConfig ...
	Parse(document string) (*container.Definition, error)
	// ParseStored is Parse for a document that is kept, and tells what it left out.
	ParseStored(document string) (*container.Definition, Drawn, error)
	// Format prints a definition: id container.NoID for one that does not run.
	Format(definition *container.Definition, how Format) string
	// ParseStatus and FormatStatus do the same for status files.
	ParseStatus(document string) (*container.Status, error)
	// FormatStatus is the inverse of ParseStatus.
	FormatStatus(status *container.Status) string
	// Capabilities prints what the host can run.
	Capabilities(facts *host.Facts) string
	// Metadata checks one element a client attaches and returns it, with the
	// namespace declared under prefix. Kind Malformed.
	Metadata(element, prefix, namespace string) (container.Metadata, error)
}

// Format is how a definition is printed.
type Format struct {
	ID       int  // on the root element; container.NoID: none
	Inactive bool // drop what is only known while it runs
	Secure   bool
}

// Entropy supplies what must be unique.
type Entropy interface {
	// NewUUID returns a random version 4 UUID.
	NewUUID() (container.UUID, error)
	// NewMAC returns a random address in the prefix 52:54:00.
	NewMAC() ([6]byte, error)
}
