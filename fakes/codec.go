package fakes

import (
	"fmt"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// Codec reads and writes definitions as lines of a key and words, so that tests need no
// XML:
//
//	name web
//	init /sbin/init
//	filesystem mount /srv/web / rw
//	link bridge virbr0
//
// Words with spaces are quoted as Go strings. What Format prints, Parse reads.
// Leftovers and host-side addresses are not covered. Secrets are not either, so
// Format.Secure changes nothing. Lines come in any order: those of a key with one value
// replace the one before, those of a list add to it.
type Codec struct{ entropy ports.Entropy }

// NewCodec returns the port. Entropy supplies what documents leave out. It is asked for
// the uuid first, then for addresses in the order of links.
func NewCodec(entropy ports.Entropy) *Codec { return &Codec{entropy} }

// Peek looks for the lines "name" and "uuid" only. Values are taken as Parse takes
// them, also the last of several. Unbalanced quotes are an error on any line, as its
// key cannot be told.
func (c *Codec) Peek(document string) (name string, uuid container.UUID, hasUUID bool, err error) {
	for line := range strings.Lines(document) {
		words, err := split(line)
		switch {
		case err != nil:
			return "", container.UUID{}, false, err
		case len(words) < 2:
		case words[0] == "name":
			name = strings.Join(words[1:], " ")
		case words[0] == "uuid":
			if uuid, err = container.ParseUUID(strings.Join(words[1:], " ")); err != nil {
				return "", container.UUID{}, false, fault.Wrap(err, fault.BadDefinition, "line '%s'", strings.TrimSpace(line))
			}
			hasUUID = true
		}
	}
	if name == "" {
		return "", container.UUID{}, false, fault.New(fault.NoName, fault.Document, "")
	}
	return name, uuid, hasUUID, nil
}

// Parse gives a document without consoles one, as the real format does. The other
// defaults are those of formatdomain (on_poweroff, on_reboot, on_crash), or made up: 64
// MiB (in KiB) and one processor.
func (c *Codec) Parse(document string) (*container.Definition, error) {
	d := &container.Definition{
		Memory: 65536, CurrentMemory: 65536, VCPUs: 1, OnlineVCPUs: 1, Arch: "x86_64", Emulator: "/usr/libexec/libvirt_lxc",
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
	}
	for line := range strings.Lines(document) {
		if err := parseLine(d, line); err != nil {
			return nil, err
		}
	}
	if err := c.complete(d); err != nil {
		return nil, err
	}
	return d, nil
}

// ParseStored watches what is drawn. It does so with a codec of its own, so that calls
// at the same time do not see each other's draws.
func (c *Codec) ParseStored(document string) (*container.Definition, ports.Drawn, error) {
	watched := &watchedEntropy{Entropy: c.entropy}
	d, err := NewCodec(watched).Parse(document)
	return d, watched.drawn, err
}

// watchedEntropy notes what was asked of it.
type watchedEntropy struct {
	ports.Entropy
	drawn ports.Drawn
}

// NewUUID and NewMAC note the question, whatever the answer.
func (w *watchedEntropy) NewUUID() (container.UUID, error) {
	w.drawn.UUID = true
	return w.Entropy.NewUUID()
}

func (w *watchedEntropy) NewMAC() ([6]byte, error) {
	w.drawn.Addresses = true
	return w.Entropy.NewMAC()
}

// parseLine takes one line over. An empty one is fine; an unknown key is not, so that a
// test with a slip of the pen fails. The kinds are BadDefinition for a value and
// Malformed for a key, with the line or the word in the message.
func parseLine(d *container.Definition, line string) error {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		return err
	}
	for i := range fields {
		if fields[i].key == words[0] {
			if err := fields[i].set(d, words[1:]); err != nil {
				return fault.Wrap(err, fault.BadDefinition, "line '%s'", strings.TrimSpace(line))
			}
			return nil
		}
	}
	return fault.New(fault.Malformed, fault.Document, "unknown key '%s'", words[0])
}

// complete fills in what the document left out. Names are checked here and not by their
// setter, since a document may have no line of that key. Id maps are put in order as
// the real format does, or a definition would be printed otherwise than it was read.
func (c *Codec) complete(d *container.Definition) (err error) {
	if d.Name == "" {
		return fault.New(fault.NoName, fault.Document, "")
	}
	if strings.Contains(d.Name, "/") {
		return fault.New(fault.BadDefinition, fault.Document, "name '%s' cannot contain '/'", d.Name)
	}
	if d.Init.Path == "" {
		d.Init.Path = "/sbin/init"
	}
	if d.UUID == (container.UUID{}) {
		if d.UUID, err = c.entropy.NewUUID(); err != nil {
			return err
		}
	}
	for i := range d.Links {
		if d.Links[i].MAC != ([6]byte{}) {
			continue
		}
		if d.Links[i].MAC, err = c.entropy.NewMAC(); err != nil {
			return err
		}
	}
	if len(d.Consoles) == 0 {
		d.Consoles = append(d.Consoles, defaultConsole())
	}
	d.IDMap, err = d.IDMap.Normalize()
	return err
}

// Format prints one line per value that is set. "id" comes first; Parse skips it. The
// inactive view has no id. Definition is not changed: what is dropped is dropped from a
// copy.
func (c *Codec) Format(definition *container.Definition, how ports.Format) string {
	var text strings.Builder
	if how.ID != container.NoID && !how.Inactive {
		fmt.Fprintf(&text, "id %d\n", how.ID)
	}
	if how.Inactive {
		definition = withoutLive(definition)
	}
	for i := range fields {
		for _, words := range fields[i].get(definition) {
			text.WriteString(join(fields[i].key, words) + "\n")
		}
	}
	return text.String()
}

// withoutLive drops what was chosen at the start. Host names that begin with "vnet" are
// the daemon's to choose (formatdomain, interface target), so one of them was.
func withoutLive(d *container.Definition) *container.Definition {
	d = d.Clone()
	for i := range d.Consoles {
		d.Consoles[i].TTY, d.Consoles[i].Alias = "", ""
	}
	for i := range d.Links {
		if strings.HasPrefix(d.Links[i].HostName, "vnet") {
			d.Links[i].HostName = ""
		}
	}
	return d
}

// FormatStatus prints a head, an empty line and the definition. The head is
//
//	status ID STATE REASON PERSISTENT PID START
//	boot "BOOT ID"
//	cgroup "PATH"
//	controller PID START "SOCKET"
//
// with states and reasons as numbers.
func (c *Codec) FormatStatus(s *container.Status) string {
	head := fmt.Sprintf("status %d %d %d %t %d %d\nboot %q\ncgroup %q\ncontroller %d %d %q\n\n",
		s.ID, s.State, s.Reason, s.Persistent, s.InitPID, s.InitStart,
		s.BootID, s.CgroupPath, s.Controller.PID, s.Controller.Start, s.Controller.Socket)
	return head + c.Format(s.Definition, ports.Format{ID: s.ID, Secure: true})
}

// ParseStatus reads what FormatStatus printed. Numbers that are no state or reason are
// refused, and so is a head without its empty line, as a file that was cut off has it.
func (c *Codec) ParseStatus(document string) (*container.Status, error) {
	head, rest, found := strings.Cut(document, "\n\n")
	var s container.Status
	_, err := fmt.Sscanf(head, "status %d %d %d %t %d %d\nboot %q\ncgroup %q\ncontroller %d %d %q",
		&s.ID, &s.State, &s.Reason, &s.Persistent, &s.InitPID, &s.InitStart,
		&s.BootID, &s.CgroupPath, &s.Controller.PID, &s.Controller.Start, &s.Controller.Socket)
	if err != nil || !found || s.State > lifecycle.Paused || s.Reason > lifecycle.FailedReason {
		return nil, fault.New(fault.Malformed, fault.Document, "no status document")
	}
	if s.Definition, err = c.Parse(rest); err != nil {
		return nil, err
	}
	return &s, nil
}

// Capabilities prints a line. Tests look for facts in it and never read it back.
func (c *Codec) Capabilities(facts *host.Facts) string {
	return fmt.Sprintf("host %s %s cpus %d memory %d\n", facts.Hostname, facts.Arch, facts.CPUs, facts.Memory)
}

// Metadata takes an element whose outer tags fit together; it does not look inside.
// Kind Malformed for what is not one element, InvalidArgument without a prefix or a
// namespace.
func (c *Codec) Metadata(element, prefix, namespace string) (container.Metadata, error) {
	element = strings.TrimSpace(element)
	if len(element) < 3 || element[0] != '<' || !strings.HasSuffix(element, ">") {
		return container.Metadata{}, fault.New(fault.Malformed, fault.Document, "no element: '%s'", element)
	}
	if inner := element[1:strings.IndexAny(element, " \t\r\n/>")]; inner == "" ||
		!strings.HasSuffix(element, "/>") && !strings.HasSuffix(element, "</"+inner+">") {
		return container.Metadata{}, fault.New(fault.Malformed, fault.Document, "element not closed: '%s'", element)
	}
	if prefix == "" || namespace == "" {
		return container.Metadata{}, fault.New(fault.InvalidArgument, fault.API, "a metadata element needs prefix and namespace")
	}
	return container.Metadata{Namespace: namespace, Text: prefixedElement(element, prefix, namespace)}, nil
}

// prefixedElement puts the outer tags of an element into a namespace. For "vlx" and
// "urn:vlx", <note>hello</note> becomes
//
//	<vlx:note xmlns:vlx="urn:vlx">hello</vlx:note>
func prefixedElement(element, prefix, namespace string) string {
	end := strings.IndexAny(element, " \t\r\n/>")
	name, rest := element[1:end], element[end:]
	if inner, closed := strings.CutSuffix(rest, "</"+name+">"); closed {
		rest = inner + "</" + prefix + ":" + name + ">"
	}
	return fmt.Sprintf("<%s:%s xmlns:%s=%q%s", prefix, name, prefix, namespace, rest)
}

// plain prints a definition in one line. It is for Host.String, where a thing has a
// line. Printing needs no entropy.
func plain(d *container.Definition) string {
	text := (&Codec{}).Format(d, ports.Format{ID: container.NoID, Secure: true})
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
}
