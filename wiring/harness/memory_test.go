package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

// inMemory speaks with our client and prints what virsh does, for the verbs and
// options it knows. It lives in a bubble of virtual time.
type inMemory struct{ t *testing.T }

func (*inMemory) name() string { return "memory" }

func (*inMemory) config() Config { return Config{} }

func (*inMemory) settle() { synctest.Wait() }

// line is one virsh command line and the connection it is carried out over.
type line struct {
	ctx   context.Context
	conn  *client.Client
	dir   string
	verb  string
	words []string        // those that are no options
	with  map[string]bool // options
	dom   protocol.Domain // what words[0] names, for verbs that take one
}

func (s *inMemory) say(m *Machine, dir string, words []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var caller access.Caller
	for words[0] == "-r" || words[0] == "--ro-socket" {
		caller.ReadOnly, words = true, words[1:]
	}
	conn, err := m.Dial(ctx, caller)
	require.NoError(s.t, err)
	l := &line{ctx: ctx, conn: conn, dir: dir, verb: words[0], with: map[string]bool{}}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "--") {
			l.with[word] = true
			continue
		}
		l.words = append(l.words, word)
	}
	out := l.speak(s.t)
	assert.NoError(s.t, conn.Disconnect(ctx))
	return out
}

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

func (l *line) speak(t *testing.T) string {
	known, ok := verbs[l.verb]
	require.True(t, ok, "the client does not know the verb %s", l.verb)
	if known.named {
		if l.find(l.words[0]) != nil { // virsh does not say why either
			return fmt.Sprintf("error: failed to get domain '%s'\n", l.words[0])
		}
	}
	out, err := known.call(l)
	var answer *client.Error
	switch {
	case err == nil:
		return out + "\n"
	case errors.Is(err, errActive):
		return "error: Domain is already active\n"
	}
	require.ErrorAs(t, err, &answer)
	first := known.failure
	if strings.Contains(first, "%s") {
		first = fmt.Sprintf(first, l.words[0])
	}
	return "error: " + first + "\nerror: " + answer.Message + "\n"
}

// errActive is for what virsh refuses without asking the daemon.
var errActive = errors.New("active")

// find looks for an id, a UUID and a name, as virsh does.
func (l *line) find(name string) error {
	if id, err := strconv.Atoi(name); err == nil {
		var ret protocol.DomainLookupByIDRet
		if l.conn.Remote(l.ctx, protocol.ProcDomainLookupByID, &protocol.DomainLookupByIDArgs{ID: int32(id)}, &ret) == nil {
			l.dom = ret.Dom
			return nil
		}
	}
	var ret protocol.DomainLookupByNameRet
	err := l.conn.Remote(l.ctx, protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: name}, &ret)
	l.dom = ret.Dom
	return err
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

func (s *inMemory) console(m *Machine, name, text string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := m.Dial(ctx, access.Caller{})
	require.NoError(s.t, err)
	l := &line{ctx: ctx, conn: conn}
	defer func() { assert.NoError(s.t, conn.Disconnect(ctx)) }()
	require.NoError(s.t, l.find(name))
	if l.dom.ID < 0 { // virsh does not ask the daemon
		return "error: The domain is not running\n"
	}
	out, err := l.converse(text)
	require.NoError(s.t, err)
	return out
}

// converse opens the console, types a line and returns the one that comes back.
func (l *line) converse(text string) (string, error) {
	stream, err := l.conn.OpenStream(l.ctx, protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{Dom: l.dom}, nil)
	if err != nil {
		return "", err
	}
	if err := stream.Send([]byte(text + "\r")); err != nil {
		return "", err
	}
	var answer []byte
	for !bytes.Contains(answer, []byte("got "+text+"\r\n")) {
		data, err := stream.Recv(l.ctx)
		if err != nil {
			return string(answer), err
		}
		answer = append(answer, data...)
	}
	return string(answer), stream.Abort(l.ctx)
}
