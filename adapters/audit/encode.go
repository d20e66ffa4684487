package audit

import (
	"encoding/hex"
	"strings"

	"virtlxcd/domain/audit"
)

// longest is the length of text the kernel keeps of a record; more is cut off,
// and the outcome stands last.
const longest = 8560

// longestValue is what is left of values (in bytes before they are encoded) in
// a record that would be too long: a path and a name still fit.
const longestValue = 2000

// message is the text of a record as the audit library would write it for a
// program without a terminal (audit_log_user_message(3)):
//
//	virt=lxc op=start ... vm="web" uuid=... exe="/usr/sbin/virtlxcd" hostname=? addr=? terminal=? res=success
//
// exe is the program's path. Values are cut shorter only where the whole would be too long:
// the outcome has to be there.
func message(record audit.Record, exe string) string {
	text := describe(record, exe, longest)
	if len(text) > longest {
		text = describe(record, exe, longestValue)
	}
	return text
}

// describe is message with text values cut at limit bytes each.
func describe(record audit.Record, exe string, limit int) string {
	result := "success"
	if !record.Success {
		result = "failed"
	}
	return body(record, limit) + " exe=" + encode(exe[:min(len(exe), limit)]) +
		" hostname=? addr=? terminal=? res=" + result
}

// body is what the fields say, text values cut at limit bytes. "?" is how the trail writes
// that there is none: bare, or as a text in quotes.
func body(record audit.Record, limit int) string {
	var text strings.Builder
	for i, field := range record.Fields {
		if i > 0 {
			text.WriteByte(' ')
		}
		value := field.Value
		if field.Missing {
			value = "?"
		}
		if field.Text {
			value = encode(value[:min(len(value), limit)])
		}
		text.WriteString(field.Name + "=" + value)
	}
	return text.String()
}

// encode quotes a value, or prints it in hexadecimal digits if it holds what
// would end the value early. The kernel puts the whole text between
// apostrophes, so these count, too.
func encode(value string) string {
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\'' {
			return strings.ToUpper(hex.EncodeToString([]byte(value)))
		}
	}
	return `"` + value + `"`
}
