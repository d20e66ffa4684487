package rpc

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
)

const keep = 0x6b656570

// refused lists packets that are answered with an error by the server itself.
var refused = []struct {
	name   string
	header frame.Header
	text   string
}{
	{"unknown program", frame.Header{Program: 0x12345678, Version: 1, Procedure: 1, Serial: 7},
		"Cannot find program 305419896 version 1"},
	{"other version", frame.Header{Program: testProgram, Version: 2, Procedure: 3, Serial: 7},
		"Cannot find program 536903814 version 2"},
	{"unknown procedure", callHeader(9999, 7), "unknown procedure: 9999"},
	{"procedure zero", callHeader(0, 7), "unknown procedure: 0"},
	{"negative procedure", callHeader(-1, 7), "unknown procedure: -1"},
	{"status error", frame.Header{Program: testProgram, Version: 1, Procedure: procEcho, Serial: 7, Status: 1},
		"Unexpected message status 1"},
	{"status out of range", frame.Header{Program: testProgram, Version: 1, Procedure: procEcho, Serial: 7, Status: 7},
		"Unexpected message status 7"},
	{"status before procedure", frame.Header{Program: testProgram, Version: 1, Procedure: 9999, Serial: 7, Status: 2},
		"Unexpected message status 2"},
	{"keepalive as call", frame.Header{Program: keep, Version: 1, Procedure: 1, Serial: 3},
		"Cannot find program 1801807216 version 1"},
	{"undecodable", callHeader(procDecode, 7), "Unable to decode message payload"},
	{"answer too big", callHeader(procHuge, 7), "Unable to encode message payload"},
	{"answer unfit", callHeader(procUnfit, 7), "Unable to encode message payload"},
}

func TestRefusals(t *testing.T) {
	c := newBench(DefaultOptions()).pipe(t)
	for _, row := range refused {
		t.Run(row.name, func(t *testing.T) {
			c.t = t
			c.send(row.header, nil)
			packet := c.receive()
			want := row.header
			want.Type, want.Status = frame.Reply, frame.Error
			assert.Equal(t, want, packet.Header, "the numbers are repeated")
			assert.Equal(t, errorBytes(39, 7, row.text), packet.Payload)
			c.quiet()
		})
	}
}

// errorBytes spells an ordinary error the way clients expect it.
func errorBytes(code, domain uint32, text string) []byte {
	b := binary.BigEndian.AppendUint32(nil, code)
	b = binary.BigEndian.AppendUint32(b, domain)
	b = appendText(b, text)
	b = append(b, 0, 0, 0, 2, 0, 0, 0, 0)
	b = appendText(b, "%s")
	b = appendText(b, text)
	b = append(b, 0, 0, 0, 0)
	return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
}

func appendText(b []byte, text string) []byte {
	b = append(b, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestDroppedPackets(t *testing.T) {
	header := func(kind frame.Type) frame.Header {
		return frame.Header{Program: testProgram, Version: 1, Procedure: procStream, Type: kind, Serial: 7}
	}
	stray := header(frame.Stream)
	stray.Status = frame.Continue
	rows := map[string]frame.Header{
		"reply":                   header(frame.Reply),
		"message":                 header(frame.Message),
		"stray stream data":       stray,
		"stray stream finish":     header(frame.Stream),
		"stray hole":              header(frame.StreamHole),
		"type out of range":       header(9),
		"negative type":           header(-1),
		"reply, other program":    {Program: 1, Version: 1, Type: frame.Reply},
		"message, other program":  {Program: 1, Version: 1, Type: frame.Message},
		"keepalive, procedure 3":  {Program: keep, Version: 1, Procedure: 3, Type: frame.Message},
		"keepalive, version 2":    {Program: keep, Version: 2, Procedure: 1, Type: frame.Message},
		"keepalive, pong unasked": {Program: keep, Version: 1, Procedure: 2, Type: frame.Message},
	}
	c := newBench(DefaultOptions()).pipe(t)
	for name, header := range rows {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.send(header, []byte("abc"))
			c.quiet()
		})
	}
}

func TestViolationsClose(t *testing.T) {
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	withFDs := func(n byte) []byte {
		header := callHeader(procEcho, 7)
		header.Type = frame.CallWithFDs
		return encoded(header, []byte{0, 0, 0, n})
	}
	rows := map[string][]byte{
		"length 3":                   length(3),
		"length 4":                   length(4),
		"header short":               append(length(20), make([]byte, 16)...),
		"length one too many":        length(frame.MaxPacket + 1),
		"length enormous":            length(0xffffffff),
		"33 descriptors":             withFDs(33),
		"descriptor is a plain byte": append(withFDs(1), 0),
	}
	bench := newBench(DefaultOptions())
	path := bench.listen(t, Socket{})
	for name, bytes := range rows {
		t.Run(name, func(t *testing.T) {
			c := dial(t, path)
			c.quiet()
			c.write(bytes)
			c.closed()
		})
	}
	for range rows {
		<-bench.gone
	}
}

func TestLargestLengthWaits(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.unix(t)
	c.quiet()
	c.write(binary.BigEndian.AppendUint32(nil, frame.MaxPacket))
	c.write(make([]byte, 100))
	session := bench.server.Sessions()[0]
	assert.NoError(t, session.Context().Err())
	session.Close()
	c.closed()
}

func TestNoDescriptorsIsAnOrdinaryCall(t *testing.T) {
	c := newBench(DefaultOptions()).unix(t)
	header := callHeader(procEcho, 7)
	header.Type = frame.CallWithFDs
	c.send(header, []byte{0, 0, 0, 0, 1, 2, 3, 4})
	assert.Equal(t, []byte{1, 2, 3, 4}, c.reply(7))
}

func TestPing(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.pipeSocket(t, Socket{Authenticate: true})
	for _, header := range []frame.Header{
		{Program: keep, Version: 1, Procedure: 1, Type: frame.Message},
		{Program: keep, Version: 1, Procedure: 1, Type: frame.Message, Serial: 9, Status: 2},
	} {
		c.send(header, nil)
		packet := c.receive()
		assert.Equal(t, frame.Header{Program: keep, Version: 1, Procedure: 2, Type: frame.Message}, packet.Header)
		assert.Empty(t, packet.Payload)
	}
}

func TestAuthentication(t *testing.T) {
	c := newBench(DefaultOptions()).pipeSocket(t, Socket{Authenticate: true})
	c.call(procEcho, 1)
	assert.Equal(t, "authentication required", *c.failure(frame.Reply, 1).Message)
	c.call(9999, 2)
	assert.Equal(t, "unknown procedure: 9999", *c.failure(frame.Reply, 2).Message,
		"the number is looked at first")
	c.call(procAuth, 3)
	c.reply(3)
	c.call(procEcho, 4, 1, 2, 3, 4)
	assert.Equal(t, []byte{1, 2, 3, 4}, c.reply(4))
}

func TestCloseAnswersAndHangsUp(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.unix(t)
	both := append(encoded(callHeader(procClose, 7), nil), encoded(callHeader(procEcho, 8), nil)...)
	c.write(both)
	c.reply(7)
	c.closed()
	<-bench.gone
}

func TestHandlersThatMisbehave(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.pipe(t)
	c.call(procPanic, 1)
	failure := c.failure(frame.Reply, 1)
	assert.EqualValues(t, codeInternal, failure.Code)
	assert.Equal(t, "internal error: procedure test failed unexpectedly", *failure.Message)

	c.call(procSilent, 2)
	failure = c.failure(frame.Reply, 2)
	assert.EqualValues(t, codeInternal, failure.Code)
	assert.Equal(t, "Library function returned error but did not set virError", *failure.Message)
	assert.Zero(t, failure.Int1)
	assert.Nil(t, failure.Str1)

	c.call(procTwice, 3)
	assert.Equal(t, []byte{0, 0, 0, 1}, c.reply(3), "the first answer counts")
	c.quiet()
	assert.Equal(t, 1, bench.log.count("panic=deliberate"))
	assert.Positive(t, bench.log.count("harness_test.go"), "the stack is logged")
	assert.Equal(t, 2, bench.log.count("answered twice"))
}

func TestLongErrorIsCut(t *testing.T) {
	c := newBench(DefaultOptions()).unix(t)
	c.call(procLong, 1)
	failure := c.failure(frame.Reply, 1)
	require.Len(t, *failure.Message, maxText)
	assert.Equal(t, strings.Repeat("ä", maxText/2), *failure.Message)
	c.quiet()
}

func TestCutTextKeepsCharacters(t *testing.T) {
	for _, row := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abcdef", 3, "abc"}, {"aäb", 2, "a"}, {"aäb", 3, "aä"}, {"ä", 1, ""}, {"\x80\x80\x80", 2, ""},
	} {
		assert.Equal(t, row.want, cutText(row.text, row.limit), "%q", row.text)
	}
}
