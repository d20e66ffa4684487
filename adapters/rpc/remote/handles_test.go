package remote

import (
	"io"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
)

// deafConsole says and takes nothing until it is closed.
type deafConsole struct {
	once   sync.Once
	closed chan struct{}
}

func (c *deafConsole) gone() chan struct{} {
	c.once.Do(func() { c.closed = make(chan struct{}) })
	return c.closed
}

func (c *deafConsole) Read([]byte) (int, error) {
	<-c.gone()
	return 0, io.EOF
}

func (c *deafConsole) Write(p []byte) (int, error) { return len(p), nil }

func (c *deafConsole) Close() error {
	select {
	case <-c.gone():
	default:
		close(c.closed)
	}
	return nil
}

// echoConsole gives back what it is sent.
type echoConsole struct {
	*io.PipeReader
	*io.PipeWriter
}

func (c echoConsole) Close() error {
	c.PipeReader.Close()
	return c.PipeWriter.Close()
}

func TestConsole(t *testing.T) {
	reader, writer := io.Pipe()
	driver := &stub{containers: list(running(7)), console: echoConsole{reader, writer}}
	p := open(t, driver, how{})
	device := "console1"
	p.must(protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{Dom: cap1, DevName: &device}, nil)
	assert.Equal(t, []string{"console console1 cap1"}, driver.calls)

	header := frame.Header{
		Program: protocol.Program, Version: 1, Procedure: protocol.ProcDomainOpenConsole,
		Type: frame.Stream, Serial: p.serial, Status: frame.Continue,
	}
	p.write(append(frame.AppendHeader(nil, header), "hello"...))
	got := p.receive()
	assert.Equal(t, header, got.Header)
	assert.Equal(t, "hello", string(got.Payload))

	header.Status = frame.OK
	p.write(frame.AppendHeader(nil, header))
	assert.Equal(t, header, p.receive().Header)
}

func TestConsoleRefused(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	driver.fail = fault.NotRunning()
	_, _, message := p.refused(protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{Dom: cap1})
	assert.Equal(t, "Requested operation is not valid: domain is not running", message)
	assert.Equal(t, []string{"console  cap1"}, driver.calls)
}

func TestNamespaces(t *testing.T) {
	files := nullFiles(t, 3)
	driver := &stub{containers: list(running(7)), namespaces: files}
	p := open(t, driver, how{})
	p.sendTo(protocol.LxcProgram, protocol.LxcProcDomainOpenNamespace, &protocol.LxcDomainOpenNamespaceArgs{Dom: cap1})
	answer := p.receive()
	defer answer.CloseFiles()
	assert.Equal(t, frame.ReplyWithFDs, answer.Header.Type)
	assert.Len(t, answer.Files, 3)

	failure := p.askOf(protocol.LxcProgram, protocol.LxcProcDomainOpenNamespace, &protocol.LxcDomainOpenNamespaceArgs{Dom: cap1, Flags: 6}, nil)
	require.NotNil(t, failure)
	assert.Equal(t, "unsupported flags (0x6) in function lxcDomainLxcOpenNamespace", *failure.Message)
	for _, file := range files {
		_, err := file.Stat()
		assert.ErrorIs(t, err, os.ErrClosed, "the server closes what it has sent")
	}
}
