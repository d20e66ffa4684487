package systemd

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLongStatus: systemd ignores messages of more than 4096 bytes, and texts that are not
// UTF-8; the reasons of a start that failed can be both.
func TestLongStatus(t *testing.T) {
	m := manage(t, filepath.Join(t.TempDir(), "notify"))
	n := NewNotifier(quiet())
	for _, text := range []string{
		strings.Repeat("x", 1<<20), strings.Repeat("ü", longestStatus/2) + "end", "a" + strings.Repeat("€", 2000), strings.Repeat("\n", 5000),
	} {
		require.NoError(t, n.Status(text))
		message, _ := m.next()
		assert.LessOrEqual(t, len(message), 4096)
		assert.Greater(t, len(message), 3990, "as much as there is room for")
		assert.True(t, utf8.ValidString(message))
		assert.NotContains(t, message, "\n")
	}
	require.NoError(t, n.Status("a\xffb\x00c\nd"))
	message, _ := m.next()
	assert.Equal(t, "STATUS=ab c d", message)
}

// FuzzOneLine: whatever an error says, the service manager takes it for one status, and a
// short text that is fine stays as it is.
func FuzzOneLine(f *testing.F) {
	for _, seed := range []string{"", "web runs", "a\nREADY=1", "\xff\xfe", strings.Repeat("ü", 3000), "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := oneLine(text)
		require.LessOrEqual(t, len(line), longestStatus)
		require.True(t, utf8.ValidString(line))
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\x00")
		require.Equal(t, line, oneLine(line))
		if len(text) <= longestStatus && utf8.ValidString(text) && !strings.ContainsAny(text, "\n\x00") {
			require.Equal(t, text, line)
		}
	})
}
