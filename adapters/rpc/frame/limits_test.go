package frame

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Lengths are judged at both of their bounds; a packet with descriptors needs room
// for their number.
func TestLengthBounds(t *testing.T) {
	cases := []struct {
		length uint32
		kind   Type
		want   error
	}{
		{HeaderSize - 1, Call, ErrLength},
		{HeaderSize, Call, nil},
		{HeaderSize, CallWithFDs, ErrLength},
		{HeaderSize, ReplyWithFDs, ErrLength},
		{HeaderSize + 3, CallWithFDs, ErrLength},
		{HeaderSize + 4, CallWithFDs, nil},
		{MaxPacket, Call, io.ErrUnexpectedEOF}, // taken; its payload does not come
		{MaxPacket + 1, Call, ErrLength},
		{1 << 31, Call, ErrLength}, // negative, to a signed reader
	}
	for _, c := range cases {
		a, b := pair(t)
		head := AppendHeaderFDs(nil, Header{Type: c.kind}, 0)
		binary.BigEndian.PutUint32(head, c.length)
		_, err := a.Write(head[:min(int(c.length), len(head))])
		require.NoError(t, err)
		require.NoError(t, a.CloseWrite())
		err = NewReader(b).Read(&Packet{})
		if c.want == nil {
			assert.NoError(t, err, "%d", c.length)
			continue
		}
		assert.ErrorIs(t, err, c.want, "%d", c.length)
	}
}

// The number of descriptors is judged before any of them is waited for.
func TestCountBounds(t *testing.T) {
	for _, n := range []uint32{MaxFDs + 1, 1 << 16, 1 << 31, 1<<32 - 1} {
		a, b := pair(t)
		one := packetFDs(t, Header{Type: CallWithFDs}, 0, "x")
		binary.BigEndian.PutUint32(one[HeaderSize:], n)
		_, err := a.Write(one)
		require.NoError(t, err)
		assert.ErrorIs(t, NewReader(b).Read(&Packet{}), ErrFDs, "%d", n)
	}
}

// A head that is no head, or a body for which there is no room, is not sent at all.
func TestWriteBodyRefusals(t *testing.T) {
	a, b := net.Pipe()
	require.NoError(t, b.Close())
	assert.ErrorIs(t, WriteBody(a, make([]byte, HeaderSize-1), nil), ErrLength)
	assert.ErrorIs(t, WriteBody(a, make([]byte, HeaderSize), make([]byte, MaxPayload+1)), ErrLength)
	assert.ErrorIs(t, WriteBody(a, make([]byte, HeaderSize), nil), io.ErrClosedPipe, "this one is tried")
	assert.ErrorIs(t, Write(a, make([]byte, HeaderSize), nil), io.ErrClosedPipe)
}

// A closed file fails the write; the packet before it has left.
func TestWriteOfAClosedFile(t *testing.T) {
	a, b := pair(t)
	file := tempFiles(t, 1)[0]
	require.NoError(t, file.Close())
	err := Write(a, packetFDs(t, Header{Type: ReplyWithFDs}, 1, "x"), []*os.File{file})
	require.Error(t, err)
	require.NoError(t, a.Close())
	assert.Equal(t, io.ErrUnexpectedEOF, NewReader(b).Read(&Packet{}))
}

func TestReaderOfAClosedConnection(t *testing.T) {
	_, b := pair(t)
	require.NoError(t, b.Close())
	reader := NewReader(b)
	assert.ErrorIs(t, reader.Read(&Packet{}), net.ErrClosed)
	assert.ErrorIs(t, reader.Await(), net.ErrClosed)
}

// The time of a packet includes its descriptors, and each packet has its own.
func TestLimitStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		reader := NewReader(b)
		reader.Limit(time.Minute)
		go func() {
			for range 3 {
				one := packet(t, Header{}, "0123456789")
				_, _ = a.Write(one[:7])
				time.Sleep(59 * time.Second)
				_, _ = a.Write(one[7:])
				time.Sleep(time.Hour)
			}
			_, _ = a.Write(packetFDs(t, Header{Type: CallWithFDs}, 1, "x"))
		}()
		for range 3 {
			require.NoError(t, reader.Read(&Packet{}))
		}
		assert.Equal(t, ErrSlow, reader.Read(&Packet{}), "its descriptor did not come")
	})
}

// Without a limit a slow packet is as good as any.
func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		go func() {
			one := packet(t, Header{Serial: 9}, "x")
			_, _ = a.Write(one[:5])
			time.Sleep(1000 * time.Hour)
			_, _ = a.Write(one[5:])
		}()
		var p Packet
		require.NoError(t, NewReader(b).Read(&p))
		assert.EqualValues(t, 9, p.Header.Serial)
	})
}

// FuzzHeader: every header comes back as it went, with any of the bits set.
func FuzzHeader(f *testing.F) {
	f.Add(uint32(1), uint32(2), int32(-3), int32(4), uint32(5), int32(6))
	f.Fuzz(func(t *testing.T, program, version uint32, procedure, kind int32, serial uint32, status int32) {
		h := Header{program, version, procedure, Type(kind), serial, Status(status)}
		b := AppendHeader([]byte("before"), h)[len("before"):]
		require.Len(t, b, HeaderSize)
		require.NoError(t, Finish(b))
		require.Equal(t, h, ParseHeader(b))
		require.EqualValues(t, HeaderSize, binary.BigEndian.Uint32(b))
	})
}
