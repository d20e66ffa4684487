package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"virtlxcd/adapters/rpc/protocol"
)

// verb is one of virsh's commands.
type verb struct {
	named   bool   // its first word names a container
	failure string // what virsh says first if it fails; %s is the first word
	call    func(l *line) (string, error)
}

var verbs = map[string]verb{
	"define":    {false, "Failed to define domain from %s", define},
	"create":    {false, "Failed to create domain from %s", create},
	"list":      {false, "Failed to list domains", list},
	"undefine":  {true, "Failed to undefine domain '%s'", acting(undefine, "Domain '%s' has been undefined")},
	"start":     {true, "Failed to start domain '%s'", acting(start, "Domain '%s' started")},
	"destroy":   {true, "Failed to destroy domain '%s'", acting(destroy, "Domain '%s' destroyed")},
	"suspend":   {true, "Failed to suspend domain '%s'", acting(suspend, "Domain '%s' suspended")},
	"resume":    {true, "Failed to resume domain '%s'", acting(resume, "Domain '%s' resumed")},
	"shutdown":  {true, "Failed to shutdown domain '%s'", acting(shutdown, "Domain '%s' is being shutdown")},
	"reboot":    {true, "Failed to reboot domain '%s'", acting(reboot, "Domain '%s' is being rebooted")},
	"autostart": {true, "Failed to mark domain '%s' as autostarted", acting(autostart, "Domain '%s' marked as autostarted")},
	"domstate":  {true, "", domstate},
	"domid":     {true, "", domid},
	"domuuid":   {true, "", func(l *line) (string, error) { return uuidText(l.dom.UUID), nil }},
	"dumpxml":   {true, "", dumpxml},
}

func acting(do func(l *line) error, done string) func(l *line) (string, error) {
	return func(l *line) (string, error) { return fmt.Sprintf(done, l.words[0]), do(l) }
}

func (l *line) document() string {
	text, err := os.ReadFile(filepath.Join(l.dir, l.words[0]))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func define(l *line) (string, error) {
	var ret protocol.DomainDefineXMLRet
	err := l.conn.Remote(l.ctx, protocol.ProcDomainDefineXML, &protocol.DomainDefineXMLArgs{XML: l.document()}, &ret)
	return fmt.Sprintf("Domain '%s' defined from %s", ret.Dom.Name, l.words[0]), err
}

func create(l *line) (string, error) {
	var ret protocol.DomainCreateXMLRet
	args := protocol.DomainCreateXMLArgs{XMLDesc: l.document(), Flags: l.startFlags()}
	err := l.conn.Remote(l.ctx, protocol.ProcDomainCreateXML, &args, &ret)
	return fmt.Sprintf("Domain '%s' created from %s", ret.Dom.Name, l.words[0]), err
}

func (l *line) startFlags() (flags uint32) {
	for i, option := range []string{"--paused", "--autodestroy"} {
		if l.with[option] {
			flags |= 1 << i
		}
	}
	return flags
}

func start(l *line) error {
	if l.dom.ID >= 0 {
		return errActive
	}
	args := protocol.DomainCreateWithFlagsArgs{Dom: l.dom, Flags: l.startFlags()}
	return l.conn.Remote(l.ctx, protocol.ProcDomainCreateWithFlags, &args, &protocol.DomainCreateWithFlagsRet{})
}

func undefine(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainUndefineFlags, &protocol.DomainUndefineFlagsArgs{Dom: l.dom}, nil)
}

func destroy(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: l.dom}, nil)
}

func suspend(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainSuspend, &protocol.DomainSuspendArgs{Dom: l.dom}, nil)
}

func resume(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainResume, &protocol.DomainResumeArgs{Dom: l.dom}, nil)
}

func shutdown(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainShutdown, &protocol.DomainShutdownArgs{Dom: l.dom}, nil)
}

func reboot(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainReboot, &protocol.DomainRebootArgs{Dom: l.dom}, nil)
}

func autostart(l *line) error {
	return l.conn.Remote(l.ctx, protocol.ProcDomainSetAutostart, &protocol.DomainSetAutostartArgs{Dom: l.dom, Autostart: 1}, nil)
}

// State names as virsh prints them.
var stateNames = []string{"no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed"}

func (l *line) state() (state, reason int32, err error) {
	var ret protocol.DomainGetStateRet
	err = l.conn.Remote(l.ctx, protocol.ProcDomainGetState, &protocol.DomainGetStateArgs{Dom: l.dom}, &ret)
	return ret.State, ret.Reason, err
}

// Reasons by state, as virsh prints those a container can have.
var reasonNames = map[int32]map[int32]string{
	1: {0: "unknown", 1: "booted", 5: "unpaused"},
	3: {0: "unknown", 1: "user"},
	5: {0: "unknown", 1: "shutdown", 2: "destroyed", 3: "crashed", 6: "failed"},
}

func domstate(l *line) (string, error) {
	state, reason, err := l.state()
	if err != nil || !l.with["--reason"] {
		return stateNames[state], err
	}
	return fmt.Sprintf("%s (%s)", stateNames[state], reasonNames[state][reason]), nil
}

func domid(l *line) (string, error) {
	if l.dom.ID < 0 {
		return "-", nil
	}
	return strconv.Itoa(int(l.dom.ID)), nil
}

func uuidText(u protocol.UUID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func dumpxml(l *line) (string, error) {
	var ret protocol.DomainGetXMLDescRet
	args := protocol.DomainGetXMLDescArgs{Dom: l.dom}
	if l.with["--inactive"] {
		args.Flags = 2
	}
	err := l.conn.Remote(l.ctx, protocol.ProcDomainGetXMLDesc, &args, &ret)
	return ret.XML, err
}

// list prints the table of --all, or with --name names.
func list(l *line) (string, error) {
	flags := uint32(1)
	if l.with["--all"] {
		flags = 3
	}
	var ret protocol.ConnectListAllDomainsRet
	args := protocol.ConnectListAllDomainsArgs{NeedResults: 1, Flags: flags}
	if err := l.conn.Remote(l.ctx, protocol.ProcConnectListAllDomains, &args, &ret); err != nil {
		return "", err
	}
	var out bytes.Buffer
	rows := [][3]string{{"Id", "Name", "State"}}
	for _, dom := range sortedAsVirsh(ret.Domains) {
		l.dom = dom
		state, _, err := l.state()
		if err != nil {
			return "", err
		}
		id, _ := domid(l)
		rows = append(rows, [3]string{id, dom.Name, stateNames[state]})
		if l.with["--name"] {
			fmt.Fprintln(&out, dom.Name)
		}
	}
	if !l.with["--name"] {
		printTable(&out, rows)
	}
	return out.String(), nil
}

// sortedAsVirsh puts those that run first, by id.
func sortedAsVirsh(all []protocol.Domain) (sorted []protocol.Domain) {
	for _, dom := range all {
		at := len(sorted)
		for i, other := range sorted {
			if dom.ID >= 0 && (other.ID < 0 || other.ID > dom.ID) {
				at = i
				break
			}
		}
		sorted = append(sorted[:at], append([]protocol.Domain{dom}, sorted[at:]...)...)
	}
	return sorted
}

// printTable sets columns as virsh does.
func printTable(out *bytes.Buffer, rows [][3]string) {
	var widths [3]int
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for i, row := range rows {
		for column, cell := range row {
			fmt.Fprintf(out, " %-*s  ", widths[column], cell)
		}
		out.WriteString("\n")
		if i == 0 {
			fmt.Fprintln(out, strings.Repeat("-", widths[0]+widths[1]+widths[2]+9))
		}
	}
}
