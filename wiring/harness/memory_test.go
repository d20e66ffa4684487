package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

// inMemory speaks with our client and prints what virsh does, for the verbs and
// options it knows. It lives in a bubble of virtual time.
type inMemory struct{ t *testing.T }

func (*inMemory) name() string { return "memory" }

func (*inMemory) config() Config { return Config{} }

func (*inMemory) settle() { synctest.Wait() }

// line is one virsh command line and the connection it is carried out over.
type line struct {
	ctx   context.Context
	conn  *client.Client
	dir   string
	verb  string
	words []string        // those that are no options
	with  map[string]bool // options
	dom   protocol.Domain // what words[0] names, for verbs that take one
}

func (s *inMemory) say(m *Machine, dir string, words []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var caller access.Caller
	for words[0] == "-r" || words[0] == "--ro-socket" {
		caller.ReadOnly, words = true, words[1:]
	}
	conn, err := m.Dial(ctx, caller)
	require.NoError(s.t, err)
	l := &line{ctx: ctx, conn: conn, dir: dir, verb: words[0], with: map[string]bool{}}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "--") {
			l.with[word] = true
			continue
		}
		l.words = append(l.words, word)
	}
	out := l.speak(s.t)
	assert.NoError(s.t, conn.Disconnect(ctx))
	return out
}

func (l *line) speak(t *testing.T) string {
	known, ok := verbs[l.verb]
	require.True(t, ok, "the client does not know the verb %s", l.verb)
	if known.named {
		if l.find(l.words[0]) != nil { // virsh does not say why either
			return fmt.Sprintf("error: failed to get domain '%s'\n", l.words[0])
		}
	}
	out, err := known.call(l)
	var answer *client.Error
	switch {
	case err == nil:
		return out + "\n"
	case errors.Is(err, errActive):
		return "error: Domain is already active\n"
	}
	require.ErrorAs(t, err, &answer)
	first := known.failure
	if strings.Contains(first, "%s") {
		first = fmt.Sprintf(first, l.words[0])
	}
	return "error: " + first + "\nerror: " + answer.Message + "\n"
}

// errActive is for what virsh refuses without asking the daemon.
var errActive = errors.New("active")

// find looks for an id, a UUID and a name, as virsh does.
func (l *line) find(name string) error {
	if id, err := strconv.Atoi(name); err == nil {
		var ret protocol.DomainLookupByIDRet
		if l.conn.Remote(l.ctx, protocol.ProcDomainLookupByID, &protocol.DomainLookupByIDArgs{ID: int32(id)}, &ret) == nil {
			l.dom = ret.Dom
			return nil
		}
	}
	var ret protocol.DomainLookupByNameRet
	err := l.conn.Remote(l.ctx, protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: name}, &ret)
	l.dom = ret.Dom
	return err
}

func (s *inMemory) console(m *Machine, name, text string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := m.Dial(ctx, access.Caller{})
	require.NoError(s.t, err)
	l := &line{ctx: ctx, conn: conn}
	defer func() { assert.NoError(s.t, conn.Disconnect(ctx)) }()
	require.NoError(s.t, l.find(name))
	if l.dom.ID < 0 { // virsh does not ask the daemon
		return "error: The domain is not running\n"
	}
	out, err := l.converse(text)
	require.NoError(s.t, err)
	return out
}

// converse opens the console, types a line and returns the one that comes back.
func (l *line) converse(text string) (string, error) {
	stream, err := l.conn.OpenStream(l.ctx, protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{Dom: l.dom}, nil)
	if err != nil {
		return "", err
	}
	if err := stream.Send([]byte(text + "\r")); err != nil {
		return "", err
	}
	var answer []byte
	for !bytes.Contains(answer, []byte("got "+text+"\r\n")) {
		data, err := stream.Recv(l.ctx)
		if err != nil {
			return string(answer), err
		}
		answer = append(answer, data...)
	}
	return string(answer), stream.Abort(l.ctx)
}
