package logging

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is one record, ready for every output. It is made once for all outputs and does
// not change after that.
type entry struct {
	time     time.Time
	thread   int
	priority priority
	site     *site
	text     string // with the attributes
	fields   []field
}

// appendLine prints the entry as a line of a file:
//
//	2026-01-31 13:45:01.234+0000: 4711: warning : store.(*Store).Load:87 : text key=value
//
// always in UTC. 4711 is the kernel's number of the thread. A record without a place in the
// code lacks that part. Programs find such lines by a pattern, so none of it may change.
func (e *entry) appendLine(line []byte) []byte {
	line = e.time.UTC().AppendFormat(line, "2006-01-02 15:04:05.000")
	line = append(line, "+0000: "...)
	return append(e.appendBody(line), '\n')
}

// appendBody prints what syslog gets, which knows the time itself.
func (e *entry) appendBody(line []byte) []byte {
	line = strconv.AppendInt(line, int64(e.thread), 10)
	line = append(line, ": "...)
	line = append(line, levelNames[e.priority]...)
	line = append(line, " : "...)
	if e.site.function != "" {
		line = append(line, place(e.site.function, e.site.line)...)
		line = append(line, " : "...)
	}
	return append(line, e.text...)
}

// like makes an entry of the daemon's own at the moment of e. A banner and a count of
// lost records are such.
func (e *entry) like(p priority, text string) *entry {
	return &entry{time: e.time, thread: e.thread, priority: p, site: nowhere, text: text}
}

// field is an attribute as the journal gets it, by a name that it takes
// (systemd.journal-fields(7)) and with any bytes as its value. The name was made by
// fieldName, or is one of journalNames.
type field struct{ name, value string }

// journalNames are attributes that are fields of the journal by their own
// name, and in no text: what clients were told, by the interface's numbers. The journal's
// readers find errors by them: journalctl LIBVIRT_CODE=42.
var journalNames = []string{"LIBVIRT_DOMAIN", "LIBVIRT_CODE"}

// onlyJournal counts in groups as well.
func onlyJournal(key string) bool { return slices.Contains(journalNames, key) }

// longestName is the journal's limit of field names.
const longestName = 64

// fieldName makes an attribute's name one that the journal takes: capitals, digits and
// underscores, not beginning with either of the last two. "link.name" is VIRT_LINK_NAME.
// Two attributes may get the same name; the journal then has the field twice.
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

// appendFields adds an attribute, or all members of a group, whose names get the group's
// before them. Values are as text has them, without quotes. Empty ones and empty groups
// are left out, as log/slog asks handlers to.
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

// with adds attributes. The receiver stays as it is: loggers derived from one do not see
// each other's, which is what the clip is for.
func (s scope) with(attrs []slog.Attr) scope {
	s.fields = slices.Clip(s.fields)
	for _, a := range attrs {
		s.text += attribute(s.prefix, a)
		s.fields = appendFields(s.fields, s.prefix, a)
	}
	return s
}

// in puts a group before the names of attributes that follow. Attributes that were added
// before keep their names (slog.Handler).
func (s scope) in(group string) scope {
	s.prefix += group + "."
	return s
}
