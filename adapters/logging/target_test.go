package logging

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func listed(list []target) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = t.String()
	}
	return strings.Join(texts, " ")
}

func TestTargets(t *testing.T) {
	relative, err := filepath.Abs("log")
	require.NoError(t, err)
	for text, want := range map[string]string{
		"":                                 "",
		"2:stderr":                         "2:stderr",
		" 1:journald  3:syslog:me ":        "1:journald 3:syslog:me",
		"1:file:/a/../b":                   "1:file:/b",
		"1:file:/a:b":                      "1:file:/a:b",
		"1:file:log":                       "1:file:" + relative,
		"1:stderr 2:file:/x 3:stderr":      "2:file:/x 3:stderr",
		"1:file:/x 2:file:/y 4:file:/x":    "2:file:/y 4:file:/x",
		"1:syslog:a 2:syslog:b 4:syslog:a": "2:syslog:b 4:syslog:a",
		strings.Repeat("1:stderr ", 1000):  "1:stderr",
	} {
		list, err := parseTargets(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, listed(list), text)
	}
	const shape = "Log output '%s' does not meet the format requirements for destination type '%s'"
	for text, want := range map[string]string{
		"x":                                   "Malformed format for log output 'x'",
		"0:stderr":                            "Invalid log priority '0' for log output '0:stderr'",
		"5:stderr":                            "Invalid log priority '5' for log output '5:stderr'",
		"x:stderr":                            "Invalid log priority 'x' for log output 'x:stderr'",
		"1:paper":                             "Invalid log destination 'paper' for log output '1:paper'",
		"1:":                                  "Invalid log destination '' for log output '1:'",
		"1:stderr:x":                          fmt.Sprintf(shape, "1:stderr:x", "stderr"),
		"1:stderr:":                           fmt.Sprintf(shape, "1:stderr:", "stderr"),
		"1:journald:x":                        fmt.Sprintf(shape, "1:journald:x", "journald"),
		"1:syslog":                            fmt.Sprintf(shape, "1:syslog", "syslog"),
		"1:syslog:a:b":                        fmt.Sprintf(shape, "1:syslog:a:b", "syslog"),
		"1:file":                              fmt.Sprintf(shape, "1:file", "file"),
		"1:file:":                             fmt.Sprintf(shape, "1:file:", "file"),
		strings.Repeat("x", longestSetting+1): "log outputs of 65537 bytes are too long",
		many("1:file:/x%d ", mostOutputs+1):   "more than 64 log outputs are too many",
	} {
		_, err := parseTargets(text)
		require.ErrorIs(t, err, fault.InvalidArgument, text)
		assert.EqualError(t, err, want)
	}
}

func many(format string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

func FuzzTargets(f *testing.F) {
	for _, text := range []string{"1:stderr 2:file:/x 3:stderr", "1:journald", "2:syslog:me", "1:file:a:b", "x", ":", "1:file:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseTargets(text)
		if err != nil {
			require.ErrorIs(t, err, fault.InvalidArgument)
			return
		}
		again, err := parseTargets(listed(list))
		if strings.ContainsAny(listed(list), " ") && err != nil {
			return // the working directory has a blank
		}
		require.NoError(t, err)
		require.Equal(t, list, again, "what is listed can be set")
	})
}
