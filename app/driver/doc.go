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
// # What happens by itself
//
// One goroutine per controller reads its reports and puts them into the inbox of
// the container's run. A job then empties the inbox. A job that stops a
// container looks into the inbox itself, since it holds the gate meanwhile.
package driver
