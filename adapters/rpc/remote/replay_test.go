package remote

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/capture"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

// replay plays the client's part of a recording and compares what comes back.
type replay struct {
	*peer
	driver *stub
	items  []capture.Item
	early  []*frame.Packet // read while another answer was awaited
	skip   map[int32]bool  // procedures answered differently by design
	called *capture.Item   // the client's last packet
	screen *io.PipeWriter  // what the container prints
}

// The recordings and the driver behind them. Some procedures were served by the
// recorded daemon and are not supported here yet.
func TestRecordings(t *testing.T) {
	tests := []struct {
		name   string
		driver stub
		socket rpc.Socket
		skip   []int32
	}{
		{name: "connect"},
		{name: "connect-readonly", socket: rpc.Socket{ReadOnly: true}},
		{name: "connect-uri-probe"},
		{name: "connect-go-libvirt", driver: stub{containers: list(ct9(), found(10105))}, skip: []int32{protocol.ProcDomainGetMemoryParameters, protocol.ProcConnectGetLibVersion}},
		{name: "list-all", driver: stub{containers: list(stopped("cap1", cap1UUID))}},
		{name: "lookup-unknown"},
		{name: "dominfo", driver: stub{containers: list(running(218)), usage: usage.Usage{Memory: 464 * 1024, CPU: 8237967}}},
		{name: "domstats", driver: stub{containers: list(running(218))}},
		{name: "define", driver: stub{containers: list(stopped("cap2", cap2UUID))}},
		{name: "undefine", driver: stub{containers: list(stopped("cap2", cap2UUID))}},
		{name: "destroy", driver: stub{containers: list(running(634))}},
		{name: "shutdown", driver: stub{containers: list(running(634))}},
		{name: "readonly-denied", driver: stub{containers: list(running(634))}, socket: rpc.Socket{ReadOnly: true}},
		{name: "event-all", driver: stub{containers: list(running(430))}},
		{name: "event-domain", driver: stub{containers: list(running(634)), next: 27}},
		{name: "start-pass-fds", driver: stub{containers: list(stopped("cap1", cap1UUID))}},
		{name: "net-list-no-daemon", skip: []int32{protocol.ProcConnectListAllNetworks}},
	}
	for i := range tests {
		test := &tests[i]
		t.Run(test.name, func(t *testing.T) {
			skip := map[int32]bool{}
			for _, procedure := range test.skip {
				skip[procedure] = true
			}
			next := test.driver.next
			newReplay(t, &test.driver, test.name, how{socket: test.socket}, skip).run()
			test.driver.next, test.driver.closed = next, 0
			newReplay(t, &test.driver, test.name, how{socket: test.socket, quick: true}, skip).run()
		})
	}
}

func list(containers ...*container.Snapshot) []*container.Snapshot { return containers }

func ct9() *container.Snapshot { return stopped("ct9", "0decffcd-f318-40f2-af51-7ef0779dc9b3") }

// found is a container that ran when the daemon came.
func found(id int) *container.Snapshot {
	s := running(id)
	s.Reason = lifecycle.Unknown
	return s
}

func newReplay(t *testing.T, driver *stub, name string, h how, skip map[int32]bool) *replay {
	recording, err := capture.Load(name)
	require.NoError(t, err)
	items := recording.Items
	if items[0].Kind == capture.Packet && serialOf(items[0].Bytes) > 1 {
		handshake, err := capture.Load("connect")
		require.NoError(t, err)
		items = append(append([]capture.Item(nil), handshake.Items[:12]...), items...)
	}
	return &replay{peer: connect(t, driver, h), driver: driver, items: items, skip: skip}
}

func serialOf(packet []byte) uint32 { return binary.BigEndian.Uint32(packet[20:]) }

func (r *replay) run() {
	for i := range r.items {
		item := &r.items[i]
		switch {
		case item.Kind == capture.Elided:
			r.fillIn(r.called, r.items[i+1].Bytes)
		case item.Kind == capture.Packet && item.From == capture.Client:
			r.called = item
			r.call(item, r.items[i+1:])
		case item.Kind == capture.Packet:
			r.compare(item)
		}
	}
	r.finish()
}

// finish expects the server to close after the recorded close, and not to hold
// anything back.
func (r *replay) finish() {
	if frame.ParseHeader(r.called.Bytes).Procedure == protocol.ProcConnectClose {
		require.Equal(r.t, io.EOF, r.reader.Read(new(frame.Packet)))
		<-r.done
		require.Equal(r.t, 1, r.driver.closings(), "the driver's connection is closed")
		require.Empty(r.t, r.driver.namespaces)
	}
	require.Empty(r.t, r.early)
}

// call sends a recorded call with as many files as it had. Abbreviated documents
// end early; the stub does not read them.
func (r *replay) call(item *capture.Item, following []capture.Item) {
	var files []*os.File
	for _, next := range following {
		if next.Kind != capture.File || next.From != capture.Client {
			break
		}
		file, err := os.Open("/dev/null")
		require.NoError(r.t, err)
		defer file.Close()
		files = append(files, file)
	}
	r.peer.driver.settle()
	require.NoError(r.t, frame.Write(r.conn, bytes.Clone(item.Bytes), files))
}

// fillIn makes the calls that a recording leaves out between two of a series: each
// has the next serial and the next first argument.
func (r *replay) fillIn(last *capture.Item, next []byte) {
	for serial := serialOf(last.Bytes) + 1; serial < serialOf(next); serial++ {
		packet := bytes.Clone(last.Bytes)
		step := serial - serialOf(last.Bytes)
		binary.BigEndian.PutUint32(packet[20:], serial)
		binary.BigEndian.PutUint32(packet[28:], binary.BigEndian.Uint32(packet[28:])+step)
		r.write(packet)
		answer := r.receive()
		require.Equal(r.t, serial, answer.Header.Serial)
		require.Equal(r.t, frame.OK, answer.Header.Status, "left out call %d", serial)
	}
}

// compare waits for the recorded packet's counterpart. A recorded event is made
// to happen first.
func (r *replay) compare(item *capture.Item) {
	header := frame.ParseHeader(item.Bytes)
	if header.Type == frame.Message && header.Program == protocol.Program {
		r.happen(header.Procedure, item.Bytes[frame.HeaderSize:])
	}
	if header.Type == frame.Stream && header.Status == frame.Continue {
		r.say(item.Bytes[frame.HeaderSize:])
	}
	packet := r.next(header)
	if !r.skip[header.Procedure] {
		require.NoError(r.t, item.Compare(normal(r.t, packet)))
	}
}

// say lets the container print what a recorded packet shows; nothing is its end.
func (r *replay) say(text []byte) {
	if len(text) == 0 {
		require.NoError(r.t, r.screen.Close())
		return
	}
	_, err := r.screen.Write(text)
	require.NoError(r.t, err)
}

// next is the next packet of a serial and type: answers may overtake each other.
func (r *replay) next(wanted frame.Header) *frame.Packet {
	for i, packet := range r.early {
		if packet.Header.Serial == wanted.Serial && packet.Header.Type == wanted.Type {
			r.early = append(r.early[:i], r.early[i+1:]...)
			return packet
		}
	}
	for {
		packet := r.receive()
		if packet.Header.Serial == wanted.Serial && packet.Header.Type == wanted.Type {
			return packet
		}
		r.early = append(r.early, packet)
	}
}

// happen lets the driver announce what a recorded event tells.
func (r *replay) happen(procedure int32, payload []byte) {
	require.EqualValues(r.t, protocol.ProcDomainEventCallbackLifecycle, procedure)
	var message protocol.DomainEventCallbackLifecycleMsg
	require.NoError(r.t, message.DecodeXDR(xdr.NewDecoder(payload)))
	dom := message.Msg.Dom
	r.driver.announce(ports.Event{
		Kind:      ports.LifecycleEvent,
		Container: container.Identity{Name: dom.Name, UUID: container.UUID(dom.UUID), ID: int(dom.ID)},
		Change: lifecycle.Change{
			Kind: lifecycle.ChangeKind(message.Msg.Event), Detail: lifecycle.Detail(message.Msg.Detail),
		},
	})
}

// normal is a packet as the recorded level of the interface would have sent it:
// templates had %s where they have %1$s now.
func normal(t testing.TB, packet *frame.Packet) []byte {
	whole := append(frame.AppendHeader(nil, packet.Header), packet.Payload...)
	if packet.Header.Type == frame.ReplyWithFDs {
		whole = append(frame.AppendHeaderFDs(nil, packet.Header, len(packet.Files)), packet.Payload...)
	}
	if packet.Header.Status == frame.Error && packet.Header.Type != frame.Stream {
		var failure protocol.Error
		require.NoError(t, failure.DecodeXDR(xdr.NewDecoder(packet.Payload)))
		if failure.Str1 != nil {
			template := strings.Replace(*failure.Str1, "%1$s", "%s", 1)
			failure.Str1 = &template
		}
		var err error
		whole, err = failure.AppendXDR(whole[:frame.HeaderSize])
		require.NoError(t, err)
	}
	binary.BigEndian.PutUint32(whole, uint32(len(whole)))
	return whole
}

// The recording of a start shows the id in the lookup that follows, so the
// container has to start in between.
func TestRecordedStart(t *testing.T) {
	driver := &stub{containers: list(stopped("cap1", cap1UUID))}
	r := newReplay(t, driver, "start", how{}, nil)
	for i := range r.items {
		item := &r.items[i]
		switch {
		case item.Kind != capture.Packet:
		case item.From == capture.Server:
			r.compare(item)
			if frame.ParseHeader(item.Bytes).Procedure == protocol.ProcDomainCreate {
				driver.mu.Lock()
				driver.containers = list(running(218))
				driver.mu.Unlock()
			}
		default:
			r.called = item
			r.call(item, nil)
		}
	}
	require.Contains(t, driver.calls, "start cap1")
	r.finish()
}

func TestRecordedConsoles(t *testing.T) {
	for _, name := range []string{"console", "console-eof"} {
		t.Run(name, func(t *testing.T) {
			unpaused := running(430)
			unpaused.Reason = lifecycle.Unpaused
			reader, writer := io.Pipe()
			typed := &typist{PipeReader: reader}
			r := newReplay(t, &stub{containers: list(unpaused), console: typed}, name, how{}, nil)
			r.screen = writer
			r.run()
			<-r.done
			require.Equal(t, typed.expected(r.items), typed.text.String())
		})
	}
}

// typist is a console that remembers what is typed.
type typist struct {
	*io.PipeReader
	text strings.Builder
}

func (c *typist) Write(p []byte) (int, error) { return c.text.Write(p) }

// expected is what the recorded client typed.
func (c *typist) expected(items []capture.Item) string {
	var text strings.Builder
	for _, item := range items {
		if item.Kind == capture.Packet && item.From == capture.Client && frame.ParseHeader(item.Bytes).Type == frame.Stream {
			text.Write(item.Bytes[frame.HeaderSize:])
		}
	}
	return text.String()
}

func TestRecordedNamespaces(t *testing.T) {
	driver := &stub{containers: list(running(218)), namespaces: nullFiles(t, 6)}
	recording, err := capture.Load("lxc-enter-namespace")
	require.NoError(t, err)
	r := newReplay(t, driver, recording.Name, how{}, nil)
	r.items = r.items[:12+4] // up to the answer; its files are counted here
	for i := range r.items[:15] {
		item := &r.items[i]
		if item.From == capture.Client {
			r.call(item, nil)
			continue
		}
		r.compare(item)
	}
	answer := r.receive()
	defer answer.CloseFiles()
	require.Len(t, answer.Files, 6)
	require.NoError(t, r.items[15].Compare(normal(t, answer)))
}

func nullFiles(t testing.TB, n int) []*os.File {
	files := make([]*os.File, n)
	for i := range files {
		var err error
		files[i], err = os.Open("/dev/null")
		require.NoError(t, err)
	}
	return files
}

// Cases of the recording of malformed packets that reach the handlers. What a
// section does before its own packets is not recorded: cases about the opening
// begin with a fresh connection, the others with an open one.
func TestRecordedOddCalls(t *testing.T) {
	recording, err := capture.Load("malformed")
	require.NoError(t, err)
	fresh := map[string]bool{
		"call before open": true, "feature before open": true, "open null name": true, "open empty name": true,
		"polkit when none": true, "sasl init when none": true,
	}
	open := map[string]bool{
		"unknown procedure 9999": true, "procedure 0": true, "procedure -1": true, "event proc as call (318)": true,
		"short args (lookup by name no payload)": true, "string longer than payload": true,
		"trailing garbage after args": true, "nonzero padding": true, "embedded NUL in string": true,
	}
	seen := 0
	for _, section := range recording.Sections() {
		if !fresh[section.Name] && !open[section.Name] {
			continue
		}
		seen++
		t.Run(section.Name, func(t *testing.T) {
			p := connect(t, &stub{}, how{})
			if open[section.Name] {
				name := defaultURI
				p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name}, nil)
			}
			r := &replay{peer: p, driver: &stub{}}
			for i := range section.Items {
				item := &section.Items[i]
				require.Equal(t, capture.Packet, item.Kind)
				require.True(t, item.Complete() || item.From == capture.Server, item.Label)
				if item.From == capture.Client {
					r.call(item, nil)
					continue
				}
				require.NoError(t, item.Compare(normal(t, r.receive())))
			}
		})
	}
	require.Equal(t, len(fresh)+len(open), seen, "a section is missing")
}

// Opening names that the recordings abbreviate.
func TestRecordedNames(t *testing.T) {
	tests := []struct {
		name       string
		code, from int32
		message    string
	}{
		{"lxc:///session", 1, 17, "internal error: Unexpected LXC URI path '/session', try lxc:///system"},
		{"qemu:///system", 38, 7, "Failed to connect socket to '/var/run/libvirt/virtqemud-sock': No such file or directory"},
		{"lxc://host/", 5, 7, "no connection driver available for lxc://host/"},
		{"lxc:system", 5, 7, "no connection driver available for lxc:system"},
		{"lxc://me@/system", 5, 7, "no connection driver available for lxc://me@/system"},
		{"nonsense", 5, 7, "no connection driver available for nonsense"},
		{"lxc://%zz", 5, 7, "no connection driver available for lxc://%zz"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := connect(t, &stub{}, how{caller: access.Caller{UID: 1000}})
			code, from, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &test.name})
			require.Equal(t, test.message, message)
			require.Equal(t, []int32{test.code, test.from}, []int32{code, from})
			name := "lxc:///"
			p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name}, nil)
			var uri protocol.ConnectGetURIRet
			p.must(protocol.ProcConnectGetURI, nil, &uri)
			require.Equal(t, "lxc:///", uri.URI)
		})
	}
}
