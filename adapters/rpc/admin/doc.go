// Package admin is the admin program: what administrators look at and change in a
// daemon that runs. It knows the daemon's servers (see rpc.Server), their clients and
// limits; logging, the idle timeout and the end belong to a Daemon.
//
// The program is offered on a socket of its own, to callers that Admit lets in.
//
// Checks come in the order clients know: arguments that cannot be decoded, a server or
// client that does not exist, flags, parameters. Calls that only look at memory are
// served at once, so that a log file on a hanging disk keeps nobody from looking.
package admin
