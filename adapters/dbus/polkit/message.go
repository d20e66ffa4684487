package polkit

import (
	"math"

	"github.com/godbus/dbus/v5"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

// subject is whom a question is about, as the bus carries it.
type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

// subjectOf names a process so that no other one can be meant: by its number and its
// beginning. The user is the one the kernel vouched for when the client connected;
// left open, or with a number that is negative on the bus, the daemon would look it
// up itself, at a time when the process may have become another user's.
func subjectOf(caller access.Caller) (subject, bool) {
	if caller.PID <= 0 || int64(caller.PID) > math.MaxUint32 || caller.Start == 0 || caller.UID > math.MaxInt32 {
		return subject{}, false
	}
	return subject{Kind: "unix-process", Details: map[string]dbus.Variant{
		"pid":        dbus.MakeVariant(uint32(caller.PID)),
		"start-time": dbus.MakeVariant(caller.Start),
		"uid":        dbus.MakeVariant(int32(caller.UID)),
	}}, true
}

// verdict is the daemon's answer.
type verdict struct {
	authorized bool
	challenge  bool // a person could change the answer
	dismissed  bool // a person was asked and declined
}

// parse takes only what looks exactly as documented: anything else is no answer.
func parse(body []any) (verdict, error) {
	odd := fault.New(fault.Failed, fault.Access, "polkit's answer has an unknown form")
	if len(body) != 1 {
		return verdict{}, odd
	}
	fields, ok := body[0].([]any)
	if !ok || len(fields) != 3 {
		return verdict{}, odd
	}
	authorized, ok1 := fields[0].(bool)
	challenge, ok2 := fields[1].(bool)
	details, ok3 := fields[2].(map[string]string)
	if !ok1 || !ok2 || !ok3 {
		return verdict{}, odd
	}
	return verdict{authorized, challenge, details["polkit.dismissed"] != ""}, nil
}
