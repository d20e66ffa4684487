package logging

import (
	"log/slog"
	"strconv"
	"strings"
)

// place is the function without the path of its package, and the line:
// "store.(*Store).Load:87". A record of a generic function has no type arguments in it.
func place(function string, line int) string {
	whole, _, _ := strings.Cut(function, "[") // type arguments have paths of their own
	return function[strings.LastIndexByte(whole, '/')+1:] + ":" + strconv.Itoa(line)
}

// attribute prints " key=value", all members of a group, nothing for an empty one. Keys
// of groups stand before those of their members, with a dot: " link.name=eth0". What only
// the journal gets is left out here and added by appendFields.
func attribute(prefix string, a slog.Attr) string {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) || onlyJournal(a.Key) {
		return ""
	}
	if value.Kind() != slog.KindGroup {
		return " " + prefix + a.Key + "=" + quoted(value.String())
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	var text strings.Builder
	for _, member := range value.Group() {
		text.WriteString(attribute(prefix, member))
	}
	return text.String()
}

// quoted keeps values apart and on one line: what holds a blank, a control, a quote or "="
// is written as a string of Go. So nothing that comes from a client can look like a record.
func quoted(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == 0x7f }) {
		return strconv.Quote(text)
	}
	return text
}

// levelNames are what lines say, by priority. Priorities begin at 1, so nothing is ever
// printed by the first place.
var levelNames = [...]string{debug: "debug", info: "info", warning: "warning", failure: "error"}
