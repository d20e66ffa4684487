package bus_test

import (
	"bufio"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
)

// fakeBus speaks the protocol and answers what a test wants. Real buses do not
// misbehave on demand.
type fakeBus struct {
	address string
	answer  func(*dialogue, *dbus.Message)
	methods chan string // what was asked, with Hello
}

// dialogue is one connection to a fakeBus.
type dialogue struct {
	t    *testing.T
	conn net.Conn
}

// pretend runs a fake bus until the test ends. Hello is answered as it must be;
// answer gets everything else.
func pretend(t *testing.T, answer func(*dialogue, *dbus.Message)) *fakeBus {
	t.Helper()
	listener, err := net.Listen("unix", t.TempDir()+"/bus")
	require.NoError(t, err)
	f := &fakeBus{address: "unix:path=" + listener.Addr().String(), answer: answer, methods: make(chan string, 1000)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() { f.serve(&dialogue{t, conn}) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return f
}

// serve greets a client, refusing descriptors, and hands its calls to the test.
func (f *fakeBus) serve(d *dialogue) {
	in := bufio.NewReader(d.conn)
	defer d.conn.Close()
	for line := ""; !strings.HasPrefix(line, "BEGIN"); {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return
		}
		switch {
		case line == "AUTH\r\n" || line == "\x00AUTH\r\n":
			d.raw([]byte("REJECTED EXTERNAL\r\n"))
		case strings.Contains(line, "AUTH"):
			d.raw([]byte("OK 0123456789abcdef0123456789abcdef\r\n"))
		case strings.HasPrefix(line, "NEGOTIATE"):
			d.raw([]byte("ERROR\r\n"))
		}
	}
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		method, _ := call.Headers[dbus.FieldMember].Value().(string)
		f.methods <- method
		if method == "Hello" {
			d.reply(call, ":1.7")
			continue
		}
		f.answer(d, call)
	}
}

func (d *dialogue) raw(b []byte) { _, _ = d.conn.Write(b) }

// reply answers a call.
func (d *dialogue) reply(to *dbus.Message, body ...any) { d.raw(d.message(to.Serial(), "", body...)) }

// refuse answers a call with an error.
func (d *dialogue) refuse(to *dbus.Message, name string, body ...any) {
	d.raw(d.message(to.Serial(), name, body...))
}

// message makes the answer to a serial, an error if it has a name.
func (d *dialogue) message(serial uint32, name string, body ...any) []byte {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(serial), dbus.FieldSender: dbus.MakeVariant(bus.Self),
	}}
	if name != "" {
		m.Type = dbus.TypeError
		m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
	}
	return d.encode(m)
}

func (d *dialogue) signal(path, iface, member string, args ...any) {
	d.raw(d.encode(&dbus.Message{Type: dbus.TypeSignal, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldSender: dbus.MakeVariant(bus.Self), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(path)),
		dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member),
	}}))
}

func (d *dialogue) encode(m *dbus.Message) []byte {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var out strings.Builder
	assert.NoError(d.t, m.EncodeTo(&out, binary.LittleEndian))
	b := []byte(out.String())
	b[8] = 1 // a serial, which nobody looks at but must not be 0
	return b
}

// asked waits until the bus was asked for a method.
func (f *fakeBus) asked(t *testing.T, method string) {
	t.Helper()
	for {
		select {
		case got := <-f.methods:
			if got == method {
				return
			}
		case <-time.After(20 * time.Second):
			require.Fail(t, "nobody asked for "+method)
		}
	}
}
