package fakes

import "strings"

// Signals the fakes know by meaning; the numbers are the same on all machines. Only
// those that decide something here: others are numbers like any other.
const (
	sigHUP  = 1
	sigKILL = 9
	sigTERM = 15
)

// Exited is the wait status of a process that ended with code. It is as wait(2) encodes
// it: the low byte of code, shifted by eight bits.
func Exited(code int) int { return (code & 0xff) << 8 }

// Killed is the wait status of a process that died by a signal.
func Killed(signum int) int { return signum & 0x7f }

// rebooted is how wait(2) reports that init called reboot(2) to restart.
const rebooted = sigHUP

// Reaction is what an init does on a signal that it catches.
type Reaction uint8

// The reactions.
const (
	GoesOn  Reaction = iota // handles it and goes on
	Halts                   // ends with status 0
	Reboots                 // asks for a reboot
)

// Init says how a program behaves as process 1 of a container. Signals that are not in
// Catches do nothing, except SIGKILL. Behaviours are looked up by path when a program
// is executed, so a change counts from the next start.
type Init struct {
	Program  string // what it really is, if Path is a link; empty: its path
	Greeting string // written to the first console at the start
	Catches  map[int]Reaction
	// Shell makes it read lines from each console: "exit" (or "exit N") ends it,
	// "reboot" asks for a reboot, anything else is answered with "got LINE".
	Shell bool
	// Control gives it an init control fifo: level '0' halts it, '6' reboots it.
	Control bool
	AtOnce  bool // it ends right after it was executed, with Status
	Status  int  // wait status
	// NoInterpreter makes executing it fail for lack of its interpreter.
	NoInterpreter bool
}

// Usual catches SIGTERM to halt and SIGHUP to reboot, and is a Shell. It is what
// a path does that nothing else was said about.
func Usual() Init {
	return Init{Shell: true, Catches: map[int]Reaction{sigTERM: Halts, sigHUP: Reboots}}
}

// Deaf catches nothing, like sleep.
func Deaf() Init { return Init{} }

// Init makes the program at a path, as the container sees it, behave in a way.
// The path must exist below the container's root: see AddPath.
func (h *Host) Init(path string, behaviour Init) {
	h.look(func() { h.inits[path] = behaviour })
}

// defaultInits are the programs that end at once, which the root of NewHost has.
func defaultInits() map[string]Init {
	return map[string]Init{
		"/bin/true":  {AtOnce: true, Status: Exited(0)},
		"/bin/false": {AtOnce: true, Status: Exited(1)},
	}
}

// behaviour of a path that nothing was said about is Usual.
func (h *Host) behaviour(path string) Init {
	if known, ok := h.inits[path]; ok {
		return known
	}
	return Usual()
}

// run lets an init begin its work. One that ends at once does so before Proceed
// returns, and its report is filed by then.
func (h *Host) run(g *guest) {
	g.say(0, g.init.behaviour.Greeting)
	if g.init.behaviour.AtOnce {
		h.die(g.init, g.init.behaviour.Status)
	}
}

// hear gives a line from a console to the init. It is called with the host locked, for
// a guest that reads.
func (h *Host) hear(g *guest, console int, line string) {
	if !g.init.behaviour.Shell {
		return
	}
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "exit":
		h.die(g.init, Exited(number(rest)))
	case "reboot":
		h.die(g.init, rebooted)
	case "":
	default:
		g.say(console, "got "+line+"\r\n")
	}
}

// number reads digits up to anything else. No digits are 0. It stops above 255, as
// Exited takes a byte of it.
func number(text string) (n int) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || n > 255 {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// react does what a caught signal makes the process do.
func (h *Host) react(p *process, reaction Reaction) {
	switch reaction {
	case Halts:
		h.die(p, Exited(0))
	case Reboots:
		h.die(p, rebooted)
	}
}
