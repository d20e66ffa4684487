package real

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manager is the service manager that a machine's daemons report to.
type manager struct {
	socket *net.UnixConn
	done   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	words []string   // what nobody asked for yet
	said  chan struct{}
}

func newManager(t *testing.T, prefix string) *manager {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(prefix, "notify"), Net: "unixgram"})
	require.NoError(t, err)
	m := &manager{socket: socket, said: make(chan struct{}, 1)}
	m.done.Go(m.listen)
	t.Cleanup(func() {
		assert.NoError(t, m.socket.Close())
		m.done.Wait()
	})
	return m
}

func (m *manager) listen() {
	message := make([]byte, 4096)
	for {
		n, err := m.socket.Read(message)
		if err != nil {
			return // closed
		}
		m.mu.Lock()
		m.words = append(m.words, string(message[:n]))
		m.mu.Unlock()
		select {
		case m.said <- struct{}{}:
		default:
		}
	}
}

// heard returns what was said since it was last asked for, or waited for.
func (m *manager) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	words := strings.Join(m.words, "\n")
	m.words = nil
	return words
}

// find forgets all up to the first message that matches.
func (m *manager) find(wanted *regexp.Regexp) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, word := range m.words {
		if wanted.MatchString(word) {
			m.words = m.words[i+1:]
			return true
		}
	}
	return false
}

// await waits for a message; false if it does not come, or hopeless says so.
func (m *manager) await(pattern string, hopeless func() bool) bool {
	wanted := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if m.find(wanted) {
			return true
		}
		select {
		case <-m.said:
		case <-time.After(100 * time.Millisecond):
			if hopeless() {
				return m.find(wanted)
			}
		}
	}
	return false
}
