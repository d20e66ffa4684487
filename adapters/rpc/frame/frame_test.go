package frame

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pair is two connected sockets of the kind clients use.
func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	ends := make([]*net.UnixConn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(f)
		require.NoError(t, err)
		f.Close()
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return ends[0], ends[1]
}

func packet(t testing.TB, h Header, payload string) []byte {
	t.Helper()
	b := append(AppendHeader(nil, h), payload...)
	require.NoError(t, Finish(b))
	return b
}

func packetFDs(t testing.TB, h Header, n int, payload string) []byte {
	t.Helper()
	b := append(AppendHeaderFDs(nil, h, n), payload...)
	require.NoError(t, Finish(b))
	return b
}

// tempFiles makes n files of which each holds its own number.
// openFDs counts the descriptors of this process that are open on path's
// directory, which is how leaks of passed files are seen.
func TestHeaderBytes(t *testing.T) {
	h := Header{Program: 0x20008086, Version: 1, Procedure: -1, Type: ReplyWithFDs, Serial: 7, Status: Error}
	b := AppendHeaderFDs(nil, h, 2)
	require.NoError(t, Finish(b))
	assert.Equal(t, "00000020"+"20008086"+"00000001"+"ffffffff"+"00000005"+"00000007"+"00000001"+"00000002", hex.EncodeToString(b))
	assert.Equal(t, h, ParseHeader(b))
}

func TestFinishRefusesWhatCannotBeRead(t *testing.T) {
	assert.ErrorIs(t, Finish(make([]byte, HeaderSize-1)), ErrLength)
	assert.ErrorIs(t, Finish(make([]byte, MaxPacket+1)), ErrLength)
	assert.NoError(t, Finish(make([]byte, MaxPacket)))
}

func TestReadsPipelinedPackets(t *testing.T) {
	for name, step := range map[string]int{"at once": 1 << 20, "byte by byte": 1, "odd pieces": 13} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			var sent []byte
			for i := range 5 {
				sent = append(sent, packet(t, Header{Serial: uint32(i)}, strings.Repeat("x", i*2000))...)
			}
			go func() {
				defer a.Close()
				for len(sent) > 0 {
					n := min(step, len(sent))
					a.Write(sent[:n])
					sent = sent[n:]
				}
			}()
			reader, p := NewReader(b), Packet{}
			for i := range 5 {
				require.NoError(t, reader.Read(&p))
				assert.Equal(t, uint32(i), p.Header.Serial)
				assert.Equal(t, strings.Repeat("x", i*2000), string(p.Payload))
			}
			assert.Equal(t, io.EOF, reader.Read(&p))
		})
	}
}

func TestRefusesLengthsBeforeTheBody(t *testing.T) {
	for _, length := range []string{"00000003", "00000004", "0000001b", "02000005", "ffffffff", "00000000"} {
		t.Run(length, func(t *testing.T) {
			a, b := pair(t)
			raw, err := hex.DecodeString(length)
			require.NoError(t, err)
			_, err = a.Write(raw)
			require.NoError(t, err)
			assert.ErrorIs(t, NewReader(b).Read(&Packet{}), ErrLength)
		})
	}
}

func TestReadsTheLargestPacket(t *testing.T) {
	a, b := pair(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), MaxPayload/16+1)[:MaxPayload]
	wrote := make(chan error, 1)
	go func() { wrote <- WriteBody(a, AppendHeader(nil, Header{Serial: 1}), body) }()
	var p Packet
	require.NoError(t, NewReader(b).Read(&p))
	require.NoError(t, <-wrote)
	assert.True(t, bytes.Equal(body, p.Payload))
	assert.ErrorIs(t, WriteBody(a, AppendHeader(nil, Header{}), append(body, 0)), ErrLength)
}

func TestAllocatesAsBytesArrive(t *testing.T) {
	a, b := pair(t)
	head := AppendHeader(nil, Header{})
	setLength(head, MaxPacket)
	_, err := a.Write(append(head, "little"...))
	require.NoError(t, err)
	a.Close()
	var p Packet
	assert.Equal(t, io.ErrUnexpectedEOF, NewReader(b).Read(&p))
	assert.Less(t, cap(p.Payload), 4*growth)
}

func TestEndInsideAPacket(t *testing.T) {
	whole := packetFDs(t, Header{Type: CallWithFDs}, 1, "payload")
	for n := 1; n <= len(whole); n++ {
		a, b := pair(t)
		_, err := a.Write(whole[:n])
		require.NoError(t, err)
		a.Close()
		require.Equal(t, io.ErrUnexpectedEOF, NewReader(b).Read(&Packet{}), "after %d bytes", n)
	}
}

// readWithFiles reads one packet per count and checks the files' contents,
// flags and order.
func TestCloseEndsARead(t *testing.T) {
	_, b := pair(t)
	done := make(chan error)
	go func() { done <- NewReader(b).Read(&Packet{}) }()
	b.Close()
	assert.ErrorIs(t, <-done, net.ErrClosed)
}

func TestReusesThePayload(t *testing.T) {
	a, b := pair(t)
	reader, p := NewReader(b), Packet{}
	call := packet(t, Header{}, "0123456789")
	_, err := a.Write(call)
	require.NoError(t, err)
	require.NoError(t, reader.Read(&p))
	allocs := testing.AllocsPerRun(100, func() {
		a.Write(call)
		reader.Read(&p)
	})
	assert.Zero(t, allocs)
}

// FuzzReader feeds bytes as they come from a hostile client and checks what the
// reader accepts by writing it again.
func FuzzReader(f *testing.F) {
	f.Add(packet(f, Header{Program: 1, Procedure: 2, Serial: 3}, "payload"))
	f.Add(packetFDs(f, Header{Type: CallWithFDs}, 0, "payload"))
	f.Add(append(packetFDs(f, Header{Type: ReplyWithFDs}, 1, "payload"), 0))
	f.Add([]byte{0, 0, 0, 3})
	f.Add([]byte{}) // a write of nothing is no end
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := net.Pipe()
		go func() { a.Write(data); a.Close() }()
		defer b.Close()
		reader := NewReader(b)
		var again []byte
		for {
			var p Packet
			if err := reader.Read(&p); err != nil {
				break
			}
			one := AppendHeader(nil, p.Header)
			if p.Header.Type.HasFDs() {
				one = AppendHeaderFDs(nil, p.Header, 0)
			}
			one = append(one, p.Payload...)
			require.NoError(t, Finish(one))
			again = append(again, one...)
		}
		require.True(t, bytes.HasPrefix(data, again), "%x became %x", data, again)
	})
}

func BenchmarkCall(b *testing.B) {
	x, y := pair(b)
	reader, p := NewReader(y), Packet{}
	call := packet(b, Header{}, strings.Repeat("x", 40))
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(x, call, nil); err != nil {
			b.Fatal(err)
		}
		if err := reader.Read(&p); err != nil {
			b.Fatal(err)
		}
	}
}

// A packet must be finished in time once it has begun; its first byte may take as long
// as it likes, and what follows starts anew.
func TestLimit(t *testing.T) {
	whole := packetFDs(t, Header{Type: CallWithFDs, Serial: 1}, 1, "payload")
	for n := 1; n <= len(whole); n += 5 {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			defer b.Close()
			reader := NewReader(b)
			reader.Limit(time.Minute)
			go func() {
				time.Sleep(time.Hour)
				a.Write(packet(t, Header{}, "whole"))
				time.Sleep(time.Hour)
				a.Write(whole[:n])
			}()
			start := time.Now()
			require.NoError(t, reader.Await())
			require.NoError(t, reader.Await())
			require.NoError(t, reader.Read(&Packet{}))
			require.NoError(t, reader.Await())
			require.Equal(t, ErrSlow, reader.Read(&Packet{}))
			require.Equal(t, 2*time.Hour+time.Minute, time.Since(start))
		})
	}
}

// A reader between two packets holds no buffer, one within a packet does.
func TestHoldsNoBufferBetweenPackets(t *testing.T) {
	a, b := pair(t)
	reader, p := NewReader(b), Packet{}
	one := packet(t, Header{}, "0123456789")
	_, err := a.Write(append(append(one[:len(one):len(one)], one...), one[:10]...))
	require.NoError(t, err)
	assert.Nil(t, reader.buf)
	require.NoError(t, reader.Await())
	for range 2 {
		assert.NotNil(t, reader.buf)
		require.NoError(t, reader.Read(&p))
	}
	assert.NotNil(t, reader.buf)
	_, err = a.Write(one[10:])
	require.NoError(t, err)
	require.NoError(t, reader.Read(&p))
	assert.Nil(t, reader.buf)
	a.Close()
	assert.Equal(t, io.EOF, reader.Await())
	assert.Nil(t, reader.buf)
}

// Descriptors that come with the first bytes and belong to no packet are closed when
// the reader fails.
