// Package lifecycle holds the states of a container, what moves it from one to
// another, and the events that clients are told. The one table is in Next.
package lifecycle

// State is where a container is in its life.
type State uint8

// The states. Starting is never shown to clients as such: it marks a status
// file whose start was not finished when the daemon died.
const (
	Off      State = iota
	Starting       // its processes may exist and are not to be relied upon
	Running
	Paused // frozen by its control group; it still uses memory
)

// Active says whether processes of the container may exist.
func (s State) Active() bool { return s != Off }

// String is the word that clients and status files know. Only the constants have one.
func (s State) String() string {
	return [...]string{"shutoff", "starting", "running", "paused"}[s]
}

// Reason is why a container is in its state.
type Reason uint8

// The reasons. Unknown is what a container has that was never started, or that
// was found running by a new daemon.
const (
	Unknown      Reason = iota
	Booted              // running since its start, or since it rebooted from inside
	Unpaused            // running again
	ByUser              // paused by a client
	ShutDown            // init ended by itself
	Destroyed           // it was stopped from outside
	Crashed             // init died by a fatal signal, or for lack of memory
	FailedReason        // it could not be started, or nobody knows how it ended
)

// String is the word of the log and of status files. Only the constants have one.
func (r Reason) String() string {
	return [...]string{"unknown", "booted", "unpaused", "user", "shutdown", "destroyed", "crashed", "failed"}[r]
}

// Trigger is what happens to a container.
type Trigger uint8

// The triggers.
const (
	Start       Trigger = iota // begins; nothing runs yet
	Started                    // init was executed
	StartFailed                // and all was taken back
	Suspend
	Resume
	Destroy     // a client, or a connection that owned it, wanted its end
	Exit        // init ended by itself
	Crash       // init was killed by a fatal signal or for lack of memory
	Lose        // whatever held the container is gone and so is init
	GuestReboot // init asked for a reboot
	Find        // a new daemon found it running
	FindPaused  // or frozen
	triggers
)

// Step is the outcome of a trigger: the new state, its reason, and the event
// to announce, nil if there is none. Whether an event is sent depends on the trigger
// alone: what a new daemon finds was announced by the last one.
type Step struct {
	State  State
	Reason Reason
	Event  *Change
}

// Change is a life-cycle event without its container.
type Change struct {
	Kind   ChangeKind
	Detail Detail
}

// ChangeKind is what happened.
type ChangeKind uint8

// The kinds of change, in the order clients number them.
const (
	WasDefined ChangeKind = iota
	WasUndefined
	WasStarted
	WasSuspended
	WasResumed
	WasStopped
)

// Detail narrows a ChangeKind; its meaning depends on the kind.
type Detail uint8

// The details, numbered within their kind as clients know them.
const (
	Added   Detail = 0 // WasDefined
	Updated Detail = 1 // WasDefined
	Removed Detail = 0 // WasUndefined

	StartedBooted    Detail = 0 // WasStarted
	SuspendedPaused  Detail = 0 // WasSuspended
	ResumedUnpaused  Detail = 0 // WasResumed
	StoppedShutdown  Detail = 0 // WasStopped
	StoppedDestroyed Detail = 1 // WasStopped
	StoppedCrashed   Detail = 2 // WasStopped
	StoppedFailed    Detail = 5 // WasStopped
)

// from is a line of the table.
type from struct {
	state   State
	trigger Trigger
}

// change saves words in the table.
func change(kind ChangeKind, detail Detail) *Change { return &Change{Kind: kind, Detail: detail} }

// table is all there is to know. A pair that is missing is refused.
var table = map[from]Step{
	{Off, Start}:            {Starting, Unknown, nil},
	{Starting, Started}:     {Running, Booted, change(WasStarted, StartedBooted)},
	{Starting, StartFailed}: {Off, FailedReason, nil},
	{Starting, Destroy}:     {Off, FailedReason, nil},
	{Off, Find}:             {Running, Unknown, nil},
	{Off, FindPaused}:       {Paused, Unknown, nil},

	{Running, Suspend}:     {Paused, ByUser, change(WasSuspended, SuspendedPaused)},
	{Paused, Suspend}:      {Paused, ByUser, nil},
	{Paused, Resume}:       {Running, Unpaused, change(WasResumed, ResumedUnpaused)},
	{Running, GuestReboot}: {Running, Booted, nil}, // announced as a reboot, not as a change

	{Running, Destroy}: {Off, Destroyed, change(WasStopped, StoppedDestroyed)},
	{Paused, Destroy}:  {Off, Destroyed, change(WasStopped, StoppedDestroyed)},
	{Running, Exit}:    {Off, ShutDown, change(WasStopped, StoppedShutdown)},
	{Paused, Exit}:     {Off, ShutDown, change(WasStopped, StoppedShutdown)},
	{Running, Crash}:   {Off, Crashed, change(WasStopped, StoppedCrashed)},
	{Paused, Crash}:    {Off, Crashed, change(WasStopped, StoppedCrashed)},
	{Running, Lose}:    {Off, FailedReason, change(WasStopped, StoppedFailed)},
	{Paused, Lose}:     {Off, FailedReason, change(WasStopped, StoppedFailed)},
}

// Next answers what trigger does to a container in state. ok is false where
// the trigger makes no sense there: the caller then refuses, and nothing changes.
// The event of the step belongs to the table: read only.
func Next(state State, trigger Trigger) (step Step, ok bool) {
	step, ok = table[from{state, trigger}]
	return step, ok
}

// Triggers is how many triggers there are: for tests that walk the table.
const Triggers = int(triggers)
