package logging

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is one record, ready for every output.
type entry struct {
	time     time.Time
	thread   int
	priority priority
	site     *site
	text     string // with the attributes
	fields   []field
}

// appendLine prints the entry as a line of a file.
func (e *entry) appendLine(line []byte) []byte {
	line = e.time.UTC().AppendFormat(line, "2006-01-02 15:04:05.000")
	line = append(line, "+0000: "...)
	return append(e.appendBody(line), '\n')
}

// appendBody prints what syslog gets, which knows the time itself.
func (e *entry) appendBody(line []byte) []byte {
	line = strconv.AppendInt(line, int64(e.thread), 10)
	line = append(line, ": "...)
	line = append(line, levels[e.priority-debug].name...)
	line = append(line, " : "...)
	if e.site.function != "" {
		line = append(line, place(e.site.function, e.site.line)...)
		line = append(line, " : "...)
	}
	return append(line, e.text...)
}

// like makes an entry of the daemon's own at the moment of e.
func (e *entry) like(p priority, text string) *entry {
	return &entry{time: e.time, thread: e.thread, priority: p, site: nowhere, text: text}
}

// field is an attribute as the journal gets it.
type field struct{ name, value string }

// journalNames are attributes that are fields of the journal by their own
// name, and in no text: what clients were told, by the interface's numbers.
var journalNames = []string{"LIBVIRT_DOMAIN", "LIBVIRT_CODE"}

func onlyJournal(key string) bool { return slices.Contains(journalNames, key) }

// longestName is the journal's limit of field names.
const longestName = 64

// fieldName makes an attribute's name one that the journal takes.
func fieldName(prefix, key string) string {
	if onlyJournal(key) {
		return key
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, "VIRT_"+prefix+key)
	return name[:min(len(name), longestName)]
}

// appendFields adds an attribute, or all members of a group.
func appendFields(fields []field, prefix string, a slog.Attr) []field {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return fields
	}
	if value.Kind() != slog.KindGroup {
		return append(fields, field{fieldName(prefix, a.Key), value.String()})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, member := range value.Group() {
		fields = appendFields(fields, prefix, member)
	}
	return fields
}

// scope is what a derived logger adds to records.
type scope struct {
	prefix string // of attribute names: the groups
	text   string // attributes, printed already
	fields []field
}

func (s scope) with(attrs []slog.Attr) scope {
	s.fields = slices.Clip(s.fields)
	for _, a := range attrs {
		s.text += attribute(s.prefix, a)
		s.fields = appendFields(s.fields, s.prefix, a)
	}
	return s
}

func (s scope) in(group string) scope {
	s.prefix += group + "."
	return s
}
