package domxml

import (
	"strconv"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// The status of a running container is its live definition inside an element
// that says where its processes are. State, reason, pid and init are what the
// interface has always stored; the rest names those processes for good.

// FormatStatus prints what a new daemon needs to pick up a container:
//
//	<domstatus state='running' reason='booted' pid='41' persistent='yes'>
//	  <init pid='43' start='90210'/>
//	  <controller start='90205' socket='/run/...'/>
//	  <host boot='...'/>
//	  <cgroup path='/machine/...'/>
//	  <domain type='lxc' id='41'> as clients see it </domain>
//	</domstatus>
//
// A status without a definition is printed, too, but cannot be read back.
// The socket and the start times find the processes again; the boot id tells whether
// numbers of processes can still mean anything.
func (c *Codec) FormatStatus(status *container.Status) string {
	root := el("domstatus",
		"state", status.State.String(), "reason", status.Reason.String(), "pid", strconv.Itoa(status.Controller.PID),
		"persistent", yesNo(status.Persistent))
	root.add(
		el("init", "pid", strconv.Itoa(status.InitPID), "start", number(status.InitStart)),
		el("controller", "start", number(status.Controller.Start), "socket", status.Controller.Socket),
		el("host", "boot", status.BootID),
		el("cgroup", "path", status.CgroupPath),
	)
	if status.Definition != nil {
		root.add(c.tree(status.Definition, ports.Format{ID: status.ID, Secure: true}))
	}
	return render(root, 0)
}

// Only "yes" is read as true.
func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// ParseStatus reads it back. Of a status that another daemon wrote the facts
// it does not have are zero. What it has must be right: a wrong number could be
// another process. A reason that is not known is Unknown, since later daemons
// may have more of them; a state decides what is done, so it must be known. Kinds
// BadDefinition and those of Parse; with an error the status is nil.
// It reads the definition as live, so terminals, aliases and names of links are kept.
func (c *Codec) ParseStatus(document string) (*container.Status, error) {
	root, err := parseTree(statusLabel, document, ownLimits)
	if err != nil {
		return nil, err
	}
	if root.name != "domstatus" {
		return nil, badStructure("expecting root element of '%s', not '%s'", "domstatus", root.name)
	}
	status := &container.Status{
		BootID:     root.find("host").get("boot"),
		CgroupPath: root.find("cgroup").get("path"),
		Controller: container.Controller{Socket: root.find("controller").get("socket")},
		Persistent: root.get("persistent") == "yes",
	}
	if err := readLife(root, status); err != nil {
		return nil, err
	}
	if err := readNumbers(root, status); err != nil {
		return nil, err
	}
	inner := root.find("domain")
	if inner == nil {
		return nil, fault.New(fault.BadDefinition, fault.Document, "no domain in the status")
	}
	if status.ID, err = readID(inner); err != nil {
		return nil, err
	}
	if status.Definition, err = c.read(inner, true); err != nil {
		return nil, err
	}
	return status, nil
}

// readLife reads state and reason by the names lifecycle has for them.
// An empty state is one that is not known.
// Names are looked for one by one, so that the two packages cannot differ.
func readLife(root *node, status *container.Status) error {
	state, reason := root.get("state"), root.get("reason")
	for s := lifecycle.Off; s <= lifecycle.Paused; s++ {
		if s.String() == state {
			status.State = s
			state = ""
			break
		}
	}
	if state != "" || root.get("state") == "" {
		return badAttr(root, "state", root.get("state"))
	}
	for r := lifecycle.Unknown; r <= lifecycle.FailedReason; r++ {
		if r.String() == reason {
			status.Reason = r
		}
	}
	return nil
}

// readNumbers reads pids, which have 31 bits, and start times, which have 64. What
// is not written stays zero.
// 0 is accepted as written: callers know it for "not known".
// Pids of the kernel fit in 31 bits (proc(5), pid_max).
func readNumbers(root *node, status *container.Status) error {
	for _, field := range []struct {
		owner *node
		name  string
		pid   *int
		ticks *uint64
	}{
		{root, "pid", &status.Controller.PID, nil},
		{root.find("init"), "pid", &status.InitPID, nil},
		{root.find("init"), "start", nil, &status.InitStart},
		{root.find("controller"), "start", nil, &status.Controller.Start},
	} {
		text, written := field.owner.attr(field.name)
		if !written {
			continue
		}
		bits := 64
		if field.pid != nil {
			bits = 31
		}
		value, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			return badNumber(field.owner, field.name, text)
		}
		if field.pid != nil {
			*field.pid = int(value)
		} else {
			*field.ticks = value
		}
	}
	return nil
}

// readID reads the id of the run from the definition inside.
// Ids have 31 bits on the wire.
// A status without one is of a container that has none, not an error.
func readID(inner *node) (int, error) {
	text, written := inner.attr("id")
	if !written {
		return container.NoID, nil
	}
	id, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badNumber(inner, "id", text)
	}
	return int(id), nil
}
