// Package driver holds the use cases of the daemon. It implements the inbound
// ports over the outbound ones, one file per use case.
//
// # Who may touch what
//
// A change of a container runs as a job: app/jobs lets one in at a time. The job
// alone changes the container's run (see run) and publishes its snapshots.
// Readers use snapshots and never wait.
//
// # Lock order
//
// The gate of a container comes first, then any of these, which are leaves and
// held only to look something up: the registry's lock, holders.mu, inbox.mu,
// reloads.mu, halt.mu, the locks of app/feed. No port is called with one of the
// leaves held. No job waits for another container's gate; a reload, which holds
// reloads.gate, waits for those of all containers in turn, so no job of a
// container may ask for one.
//
// Rights are checked with nothing held, not even a gate: the answer may take
// seconds. Hooks run with the gate held and nothing else.
//
// # Files
//
// start.go is the list of steps of a start, each with its reverse; begin.go,
// group.go, machine.go and hooks.go hold those that need more words. stop.go ends
// containers that are told to, exit.go those that end by themselves, reboot.go
// those that start anew from inside. recover.go and recover_run.go pick up what an
// earlier daemon left, escrow.go what a dead controller left. holders.go and
// inbox.go are how controllers are listened to.
//
// # Contexts
//
// A call waits for its turn on its caller's context. From then on it runs on the
// daemon's, which ends only if Shutdown is not waited for. Reverses run on neither:
// they have UndoLimit each (lasting, insist, start.push), because what was cut
// short must not stay half done. A daemon that ends is no reason to stop a
// container: what cannot be finished then is left to the next one.
//
// # What happens by itself
//
// One goroutine per controller reads its reports and puts them into the inbox of
// the container's run. A job then empties the inbox. A job that stops a
// container looks into the inbox itself, since it holds the gate meanwhile.
package driver
