package settings

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"virtlxcd/domain/fault"
)

// longestShown is how much of a name or value a message shows. A file may have a key or
// value of megabytes, and a message is one line of a log.
const longestShown = 64

// shown makes what somebody wrote fit into one line of a message. What is no printable
// text comes out escaped, also the half of a letter at the cut.
func shown(s string) string {
	if len(s) > longestShown {
		return strconv.Quote(s[:longestShown]) + "..."
	}
	return strconv.Quote(s)
}

// wrong is the error for a value that cannot be used. format names the key. The place
// comes first, "FILE:LINE: TEXT", as in syntax errors and notices.
func (e *entry) wrong(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fault.Host, "%s:%d: %s", e.file, e.line, fmt.Sprintf(format, args...))
}

// expected is the error for a value of another type.
func (e *entry) expected(what string) error {
	return e.wrong(fault.InvalidArgument, "expected %s for '%s' parameter", what, e.key)
}

// readText takes any text, also none.
func readText(e *entry) (string, error) {
	if e.value.kind != text {
		return "", e.expected("a string")
	}
	return e.value.text, nil
}

// readTexts takes a list of texts, also an empty one. A single text is none: it would be
// easy to miss that others can stand beside it.
func readTexts(e *entry) ([]string, error) {
	if e.value.kind != list {
		return nil, e.expected("a string list")
	}
	var texts []string
	// Lists within the list are of the language, but no key has any.
	for _, element := range e.value.list {
		if element.kind != text {
			return nil, e.expected("a string list")
		}
		texts = append(texts, element.text)
	}
	return texts, nil
}

// readBool takes 0 and 1; the language has no words for them.
func readBool(e *entry) (bool, error) {
	v := e.value
	switch {
	case v.kind != number:
		return false, e.expected("a bool")
	case v.overflow, v.negative, v.magnitude > 1:
		return false, e.wrong(fault.InvalidArgument, "value for '%s' parameter must be 0 or 1", e.key)
	}
	return v.magnitude == 1, nil
}

// between returns a reader of unsigned integers from low to high, both included. A number
// that is negative has another text than one that is too large: the type is wrong there,
// not the range.
func between(low, high uint) reader[uint] {
	return func(e *entry) (uint, error) {
		v := e.value
		switch {
		case v.kind != number, v.negative:
			return 0, e.expected("an unsigned integer")
		case v.overflow, v.magnitude < uint64(low), v.magnitude > uint64(high):
			return 0, e.wrong(fault.InvalidArgument, "value for '%s' parameter must be in range %d:%d", e.key, low, high)
		}
		return uint(v.magnitude), nil
	}
}

// readUint is for what no number hurts. Other programs hold these in 32 bits.
var readUint = between(0, math.MaxUint32)

// readSeconds reads an unsigned number of seconds. The most that it takes, 32 bits, is
// far from the end of time.Duration.
func readSeconds(e *entry) (time.Duration, error) {
	seconds, err := readUint(e)
	return time.Duration(seconds) * time.Second, err
}

// readInterval reads seconds where what is not above 0 means never. Its bounds are those
// of 32 bits with a sign; -1 is the usual way to turn keepalive off.
func readInterval(e *entry) (time.Duration, error) {
	v := e.value
	switch {
	case v.kind != number:
		return 0, e.expected("a signed integer")
	case v.overflow, v.negative && v.magnitude > -math.MinInt32, !v.negative && v.magnitude > math.MaxInt32:
		return 0, e.wrong(fault.InvalidArgument, "value for '%s' parameter must be in range %d:%d",
			e.key, math.MinInt32, math.MaxInt32)
	case v.negative:
		return 0, nil
	}
	return time.Duration(v.magnitude) * time.Second, nil
}

// readMode reads the octal digits of a socket's permissions: a text, as a number with a
// leading 0 would be a decimal one. Bits beyond those of user, group and others are refused.
func readMode(e *entry) (os.FileMode, error) {
	digits, err := readText(e)
	if err != nil {
		return 0, err
	}
	// "0770" and "770" are the same mode.
	mode, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, e.wrong(fault.InvalidArgument, "value %s for '%s' parameter must be an octal mode from \"0000\" to \"0777\"",
			shown(digits), e.key)
	}
	return os.FileMode(mode), nil
}
