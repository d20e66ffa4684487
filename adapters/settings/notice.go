package settings

import "fmt"

// Notice is something in a configuration file that is no error but that its
// author would want to know: a key without effect, a value that another one overrides.
// Notices keep no daemon from starting; who loads the file logs or prints them.
type Notice struct {
	File string
	Line int // 0: the file as a whole
	Text string
}

// String begins with the place, as errors do: "FILE:LINE: TEXT". It is one line.
func (n Notice) String() string {
	if n.Line == 0 {
		return n.File + ": " + n.Text
	}
	return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Text)
}

// notice is about the statement.
func (e *entry) notice(format string, args ...any) Notice {
	return Notice{File: e.file, Line: e.line, Text: fmt.Sprintf(format, args...)}
}

// shownKey is the key for a message: a name is as long as its author likes.
func (e *entry) shownKey() string {
	if len(e.key) > longestShown {
		return "'" + e.key[:longestShown] + "...'"
	}
	return "'" + e.key + "'"
}
