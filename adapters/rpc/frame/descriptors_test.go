package frame

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func tempFiles(t testing.TB, n int) []*os.File {
	t.Helper()
	files := make([]*os.File, n)
	for i := range files {
		f, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		fmt.Fprint(f, i)
		files[i] = f
	}
	return files
}

func openFDs(t testing.TB, dir string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, dir) {
			n++
		}
	}
	return n
}

func TestPassesDescriptors(t *testing.T) {
	for _, n := range []int{0, 1, 3, MaxFDs} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			a, b := pair(t)
			files := tempFiles(t, n)
			before := packet(t, Header{Serial: 1}, "before")
			with := packetFDs(t, Header{Type: CallWithFDs, Serial: 2}, n, "with")
			require.NoError(t, Write(a, append(before, with...), files))
			require.NoError(t, Write(a, packet(t, Header{Serial: 3}, "after"), nil))
			reader := NewReader(b)
			readWithFiles(t, reader, []int{0, n, 0})
		})
	}
}

func readWithFiles(t *testing.T, reader *Reader, counts []int) {
	t.Helper()
	for i, count := range counts {
		var p Packet
		require.NoError(t, reader.Read(&p))
		require.Equal(t, uint32(i+1), p.Header.Serial)
		require.Len(t, p.Files, count)
		for j, f := range p.Files {
			content, err := io.ReadAll(io.NewSectionReader(f, 0, 10))
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprint(j), string(content))
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFD, 0)
			require.Zero(t, errno)
			assert.NotZero(t, flags&syscall.FD_CLOEXEC, "close-on-exec")
		}
		p.CloseFiles()
	}
}

func TestDescriptorsWrittenWhileReading(t *testing.T) {
	a, b := pair(t)
	files := tempFiles(t, 5)
	failed := make(chan error, 1)
	go func() {
		var err error
		for serial := uint32(1); serial <= 50 && err == nil; serial++ {
			p := append(AppendHeaderFDs(nil, Header{Type: CallWithFDs, Serial: serial}, 5), make([]byte, serial*100)...)
			err = errors.Join(Finish(p), Write(a, p, files))
		}
		failed <- err
	}()
	counts := make([]int, 50)
	for i := range counts {
		counts[i] = 5
	}
	readWithFiles(t, NewReader(b), counts)
	require.NoError(t, <-failed)
}

func TestRefusesWrongDescriptors(t *testing.T) {
	one := func(t *testing.T) []byte { return packetFDs(t, Header{Type: CallWithFDs}, 1, "x") }
	cases := map[string]func(t *testing.T, conn *net.UnixConn, files []*os.File){
		"too many": func(t *testing.T, conn *net.UnixConn, _ []*os.File) {
			conn.Write(packetFDs(t, Header{Type: CallWithFDs}, MaxFDs+1, "x"))
		},
		"byte without descriptor": func(t *testing.T, conn *net.UnixConn, _ []*os.File) {
			conn.Write(append(one(t), 0))
		},
		"separate byte without descriptor": func(t *testing.T, conn *net.UnixConn, _ []*os.File) {
			conn.Write(one(t))
			conn.Write([]byte{0})
		},
		"descriptor with the header": func(t *testing.T, conn *net.UnixConn, files []*os.File) {
			conn.WriteMsgUnix(one(t), syscall.UnixRights(int(files[0].Fd())), nil)
			conn.Write([]byte{0})
		},
		"second byte without descriptor": func(t *testing.T, conn *net.UnixConn, files []*os.File) {
			Write(conn, packetFDs(t, Header{Type: CallWithFDs}, 2, "x"), files[:1])
			conn.Write([]byte{0})
		},
		"two with one byte": func(t *testing.T, conn *net.UnixConn, files []*os.File) {
			conn.Write(one(t))
			conn.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(files[0].Fd()), int(files[1].Fd())), nil)
		},
	}
	for name, send := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			files := tempFiles(t, 2)
			dir := files[0].Name()[:strings.LastIndexByte(files[0].Name(), '/')]
			open := openFDs(t, dir[:strings.LastIndexByte(dir, '/')])
			send(t, a, files)
			assert.ErrorIs(t, NewReader(b).Read(&Packet{}), ErrFDs)
			assert.Equal(t, open, openFDs(t, dir[:strings.LastIndexByte(dir, '/')]), "descriptors leaked")
		})
	}
}

func TestNoCountBehindTheHeader(t *testing.T) {
	a, b := pair(t)
	_, err := a.Write(packet(t, Header{Type: CallWithFDs}, ""))
	require.NoError(t, err)
	assert.ErrorIs(t, NewReader(b).Read(&Packet{}), ErrLength)
}

func TestClosesStrayDescriptors(t *testing.T) {
	a, b := pair(t)
	files := tempFiles(t, 2)
	dir := files[0].Name()[:strings.LastIndexByte(files[0].Name(), '/')]
	dir = dir[:strings.LastIndexByte(dir, '/')]
	open := openFDs(t, dir)
	rights := syscall.UnixRights(int(files[0].Fd()), int(files[1].Fd()))
	reader, p := NewReader(b), Packet{}
	for serial := range uint32(3) {
		big := packet(t, Header{Serial: serial}, strings.Repeat("y", 3*bufferSize))
		_, _, err := a.WriteMsgUnix(big, rights, nil)
		require.NoError(t, err)
		require.NoError(t, reader.Read(&p))
		require.Equal(t, serial, p.Header.Serial)
		assert.Empty(t, p.Files)
		assert.Equal(t, open, openFDs(t, dir))
	}
	require.NoError(t, Write(a, packetFDs(t, Header{Type: CallWithFDs, Serial: 1}, 2, ""), files))
	readWithFiles(t, reader, []int{2})
}

func TestWithoutDescriptors(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	assert.ErrorIs(t, WriteFiles(b, tempFiles(t, 1)), ErrFDs)
	sock, _ := pair(t)
	assert.ErrorIs(t, WriteFiles(sock, make([]*os.File, MaxFDs+1)), ErrFDs)
	sent := append(packetFDs(t, Header{Type: CallWithFDs}, 1, ""), 0)
	go a.Write(sent)
	assert.ErrorIs(t, NewReader(b).Read(&Packet{}), ErrFDs)
}

func TestAwaitClosesStrays(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "x"))
	require.NoError(t, err)
	defer file.Close()
	a, b := pair(t)
	_, _, err = a.WriteMsgUnix([]byte{0, 0}, syscall.UnixRights(int(file.Fd())), nil)
	require.NoError(t, err)
	a.Close()
	reader := NewReader(b)
	require.NoError(t, reader.Await())
	require.Equal(t, 2, openFDs(t, dir))
	require.Equal(t, io.ErrUnexpectedEOF, reader.Read(&Packet{}))
	require.Equal(t, 1, openFDs(t, dir))
}
