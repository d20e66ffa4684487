package audit

import (
	"encoding/hex"
	"strconv"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
)

// Reasons of Started and Stopped.
const (
	Booted    = "booted"
	Rebooted  = "reboot" // both: of the stop, and of the start that follows
	Destroyed = "destroyed"
	Shutdown  = "shutdown" // it ended by itself
	Failed    = "failed"   // late during a start, or it could not be picked up again
)

// Started is to be written once the outcome of a start is known: all that the
// container was given, then the start itself. What it was given counts as a
// success either way; ok is the outcome of the start. The definition is the live
// one; controllerPID is 0 if there never was a controller.
func Started(definition *container.Definition, id container.Identity, controllerPID int, reason string, ok bool) []Record {
	records := make([]Record, 0, len(definition.Filesystems)+len(definition.Links)+len(definition.Consoles)+3)
	for i := range definition.Filesystems {
		records = append(records, given(id, "fs", encoded(definition.Filesystems[i].Source)))
	}
	for i := range definition.Links {
		records = append(records, given(id, "net", address(definition.Links[i].MAC)))
	}
	for i := range definition.Consoles {
		records = append(records, given(id, "chardev", encoded(definition.Consoles[i].TTY)))
	}
	records = append(records, amount(id, "mem", definition.Memory), amount(id, "vcpu", uint64(definition.OnlineVCPUs)))
	return append(records, control(id, ok, "start", reason, controllerPID))
}

// Init is to be written when the controller reports the first process. The
// namespace is the inode of its PID namespace. Init's pid is the host's.
func Init(id container.Identity, controllerPID, initPID int, pidNamespace uint64) Record {
	record := control(id, true, "init", "", controllerPID)
	record.Fields = append(record.Fields,
		Field{Name: "init-pid", Value: strconv.Itoa(initPID)},
		Field{Name: "pid-ns", Value: strconv.FormatUint(pidNamespace, 10)})
	return record
}

// Stopped is to be written when a container has ended. The pid is that of the
// controller it had.
func Stopped(id container.Identity, controllerPID int, reason string) Record {
	return control(id, true, "stop", reason, controllerPID)
}

// control is a record of a start or an end. Readers know the order of its fields.
func control(id container.Identity, ok bool, op, reason string, controllerPID int) Record {
	fields := make([]Field, 0, 8)
	fields = append(fields, Field{Name: "virt", Value: "lxc"}, Field{Name: "op", Value: op})
	if reason != "" {
		fields = append(fields, Field{Name: "reason", Value: reason})
	}
	fields = append(append(fields, who(id)...), Field{Name: "vm-pid", Value: strconv.Itoa(controllerPID)})
	return Record{Kind: Control, Container: id, Success: ok, Fields: fields}
}

// given is the record of one device. It had none of it before.
func given(id container.Identity, resource string, now Field) Record {
	before := now
	before.Value, before.Missing = "", true
	return change(id, resource, before, now)
}

// amount is the record of a number, which was 0 before.
func amount(id container.Identity, resource string, now uint64) Record {
	return change(id, resource, Field{Value: "0"}, Field{Value: strconv.FormatUint(now, 10)})
}

// change is a record of something given, as "before" and "now".
func change(id container.Identity, resource string, before, now Field) Record {
	before.Name, now.Name = "old-"+resource, "new-"+resource
	fields := append([]Field{
		{Name: "virt", Value: "lxc"}, {Name: "resrc", Value: resource}, {Name: "reason", Value: "start"},
	}, who(id)...)
	return Record{Kind: Resource, Container: id, Success: true, Fields: append(fields, before, now)}
}

// who names the container: its name was chosen by others, its UUID is printed here.
func who(id container.Identity) []Field {
	return []Field{{Name: "vm", Value: id.Name, Text: true}, {Name: "uuid", Value: id.UUID.String()}}
}

// encoded is a path; a device without one (a filesystem in memory) has none to show.
func encoded(path string) Field { return Field{Value: path, Text: true, Missing: path == ""} }

// address is a MAC with colons; one that is all zero is not known.
func address(mac device.MAC) Field {
	text := make([]byte, 0, 17)
	for i := range mac {
		if i > 0 {
			text = append(text, ':')
		}
		text = hex.AppendEncode(text, mac[i:i+1])
	}
	return Field{Value: string(text), Missing: mac == device.MAC{}}
}
