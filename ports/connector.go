package ports

import (
	"context"
	"io"
	"os"
	"time"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/usage"
)

// Connector lets callers in.
type Connector interface {
	// Connect returns what caller may do. AccessDenied if it may not even look.
	Connect(ctx context.Context, caller access.Caller) (Connection, error)
}

// Connection is one client's view of the driver. The caller's identity and its
// read-only flag are part of it, so no method takes them: a method that changes
// something answers ReadOnly on a read-only connection.
type Connection interface {
	Definitions
	Lifecycle
	Stats
	Handles
	Events
	Node
	// Close ends subscriptions and destroys what was started with AutoDestroy,
	// waiting for both. What was started so stays owned when it is started again by
	// itself, and is not started again once its connection has closed. Calling it
	// twice is harmless.
	Close() error
}

// Definitions is about what containers are. References: NotFound for unknown ones.
type Definitions interface {
	// Lookup finds one container.
	Lookup(ctx context.Context, ref container.Ref) (*container.Snapshot, error)
	// List returns the matching containers, sorted by name. The slice and what
	// it points to are shared: read only.
	List(ctx context.Context, filter container.Filter) ([]*container.Snapshot, error)
	// Define stores a document; over a running container it counts from the
	// next start. The caller's right is checked before the document is parsed.
	Define(ctx context.Context, document string, validate bool) (container.Identity, error)
	// Undefine forgets the stored definition; a running container goes on as a
	// transient one.
	Undefine(ctx context.Context, ref container.Ref) error
	// Definition prints the document in the wanted view.
	Definition(ctx context.Context, ref container.Ref, view View) (string, error)
	// Autostart tells whether the container starts with the host.
	Autostart(ctx context.Context, ref container.Ref) (bool, error)
	// SetAutostart changes that. Setting what is set already does nothing.
	SetAutostart(ctx context.Context, ref container.Ref, on bool) error
	// Metadata returns one piece; MetadataMissing if there is none.
	Metadata(ctx context.Context, ref container.Ref, which MetadataKey) (string, error)
	// SetMetadata changes or (text nil) removes one piece and announces it.
	SetMetadata(ctx context.Context, ref container.Ref, which MetadataKey, text *string) error
}

// View is how a definition is shown.
type View struct {
	Inactive bool // the next start's definition even if it runs
	Secure   bool // with secrets; needs more rights
}

// MetadataKind is a slot for what clients attach to a container.
type MetadataKind uint8

// The kinds, numbered as clients do.
const (
	Description MetadataKind = iota
	Title
	Element
)

// MetadataKey says which metadata and in which definitions.
type MetadataKey struct {
	Kind       MetadataKind
	Namespace  string // Element: its URI
	Prefix     string // Element: prefix to declare when set
	Live       bool   // both false: whatever is current
	Persistent bool
}

// Lifecycle makes containers run and stop.
type Lifecycle interface {
	// Create starts a transient container from a document, or an inactive
	// persistent one with the document as its live definition.
	Create(ctx context.Context, document string, options StartOptions) (container.Identity, error)
	// Start starts a stored one. It returns when init has been executed. On failure
	// nothing of it is left. WrongState if it runs, or is being started.
	Start(ctx context.Context, ref container.Ref, options StartOptions) (container.Identity, error)
	// Suspend freezes all processes. A paused container stays paused: no error.
	Suspend(ctx context.Context, ref container.Ref) error
	// Resume thaws them.
	Resume(ctx context.Context, ref container.Ref) error
	// Shutdown asks init to stop; it returns when asked, not when stopped.
	Shutdown(ctx context.Context, ref container.Ref, how Asking) error
	// Reboot asks init to reboot.
	Reboot(ctx context.Context, ref container.Ref, how Asking) error
	// Destroy stops the container at once and returns when nothing of it is left. On
	// failure it still runs, and may be destroyed again. WrongState if it is off.
	Destroy(ctx context.Context, ref container.Ref) error
	// Signal sends signum to a process of the container; only pid 1 is allowed.
	Signal(ctx context.Context, ref container.Ref, pid int64, signum uint) error
	// State returns the present snapshot.
	State(ctx context.Context, ref container.Ref) (*container.Snapshot, error)
}

// StartOptions modify a start.
type StartOptions struct {
	AutoDestroy bool // destroy when the connection closes
	Validate    bool
	// Files become descriptors 3, 4, ... of init. The callee does not close them.
	Files []*os.File
}

// Asking says how init is asked; both false: init control first, then a signal.
type Asking struct {
	InitControl bool
	BySignal    bool
}

// Stats reads counters.
type Stats interface {
	// Info returns the present state and what has been used; no usage while off.
	Info(ctx context.Context, ref container.Ref) (*container.Snapshot, usage.Usage, error)
}

// Handles hands out ways into a running container.
type Handles interface {
	// OpenConsole opens the console with the alias device, the first if empty.
	// Several may be open at once. Close unblocks a pending Read.
	OpenConsole(ctx context.Context, ref container.Ref, device string) (io.ReadWriteCloser, error)
	// OpenNamespaces returns descriptors of init's namespaces in the order
	// user, ipc, uts, net, pid, mnt, leaving out those the kernel lacks. The
	// caller closes them.
	OpenNamespaces(ctx context.Context, ref container.Ref) ([]*os.File, error)
}

// Events tells clients what happens.
type Events interface {
	// Subscribe starts delivery and returns the subscription's number, unique
	// for the life of the daemon. Deliver is called in the order of events, one
	// at a time, from a goroutine of the feed, with no lock held; it must not block.
	Subscribe(ctx context.Context, wish Subscription) (int, error)
	// Unsubscribe ends it. After it returned, Deliver is not called any more.
	// InvalidArgument if this connection has no such subscription.
	Unsubscribe(ctx context.Context, number int) error
}

// EventKind is a family of events.
type EventKind uint8

// The families that are ever sent. Clients may subscribe to others in vain.
const (
	LifecycleEvent EventKind = iota
	RebootEvent
	MetadataEvent
	OtherEvent // never sent
)

// Subscription is what a client wants to hear of.
type Subscription struct {
	Kind      EventKind
	Container *container.UUID // nil: all
	Deliver   func(Event)
}

// Event is one thing that happened.
type Event struct {
	Kind      EventKind
	Container container.Identity // with the id that clients are to see
	Change    lifecycle.Change   // LifecycleEvent
	Metadata  MetadataKind       // MetadataEvent
	Namespace string             // MetadataEvent of kind Element
	Reason    lifecycle.Reason   // LifecycleEvent, for the log
}

// Node is about the machine.
type Node interface {
	// PublicFacts returns, fresh, what everybody may know who may connect: the
	// machine's name and its kernel's release. All else is left zero.
	PublicFacts(ctx context.Context) (*host.Facts, error)
	// NodeFacts returns all facts about the machine, fresh.
	NodeFacts(ctx context.Context) (*host.Facts, error)
}

// Daemon is what main drives.
type Daemon interface {
	// Recover loads definitions and picks up running containers. Bad files are
	// logged and skipped. Called once, before anything else.
	Recover(ctx context.Context) error
	// StartAutostarted starts what is marked, once per boot of the host.
	StartAutostarted(ctx context.Context) error
	// Reload reads the definitions on disk again: new ones become known, changed
	// ones of containers that are known replace theirs, nothing is forgotten. Bad
	// files are logged and skipped. Safe at any time after Recover.
	Reload(ctx context.Context) error
	// StopAll asks all running containers to shut down, all at once, waits for
	// them, and destroys those that still run when limit is over. For a host that
	// goes down. It returns when none runs; ctx ending cuts the asking short.
	StopAll(ctx context.Context, limit time.Duration) error
	// Shutdown waits for changes under way and lets running containers run on. When
	// ctx ends first, changes are told to stop: Timeout. What then stays undone, of a
	// container that reboots, is left to the next daemon.
	Shutdown(ctx context.Context) error
}
