package frame

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// source reads bytes and notes where descriptors came with them.
// A descriptor belongs to the last byte of the read it came with: the kernel ends a read
// there, see unix(7). Offsets count from the connection's beginning.
type source struct {
	conn     net.Conn
	unix     *net.UnixConn         // nil: no descriptors
	raw      syscall.RawConn       // of unix
	attempt  func(fd uintptr) bool // s.try, made once
	oob      [24]byte              // room for one descriptor, two with the padding; the kernel drops more
	received int64                 // bytes read since the beginning
	arrivals []arrival

	// What await and try have to tell each other.
	buf     *[bufferSize]byte
	got     int
	failure error
}

// arrival is the descriptors of one read, and the number of bytes received when
// it ended.
type arrival struct {
	end   int64
	files []*os.File
}

// init sees whether the connection can pass descriptors.
func (s *source) init(conn net.Conn) {
	s.conn = conn
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return // a closed connection: reading tells
	}
	s.unix, s.raw, s.attempt = unix, raw, s.try
}

// await is a read that takes a buffer from the stock when there is something to put
// into it. The buffer is the caller's, also with an error; nil if none was needed.
func (s *source) await(buf **[bufferSize]byte) (int, error) {
	if s.unix == nil { // only the local sockets of a busy server are worth the trouble
		*buf = buffers.Get().(*[bufferSize]byte)
		return s.read((*buf)[:])
	}
	err := s.raw.Read(s.attempt)
	n, failure := s.got, s.failure
	*buf, s.buf, s.got, s.failure = s.buf, nil, 0, nil
	if err == nil {
		err = failure
	}
	return n, err
}

// try reads without waiting; false if there is nothing yet.
func (s *source) try(fd uintptr) bool {
	buf := buffers.Get().(*[bufferSize]byte)
	for {
		n, oobn, _, _, err := syscall.Recvmsg(int(fd), buf[:], s.oob[:], syscall.MSG_CMSG_CLOEXEC)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			buffers.Put(buf)
			return false
		case nil:
			s.buf = buf
			s.got, s.failure = s.account(n, oobn)
		default:
			buffers.Put(buf)
			s.failure = os.NewSyscallError("recvmsg", err)
		}
		return true
	}
}

func (s *source) read(p []byte) (int, error) {
	if s.unix == nil {
		n, err := s.conn.Read(p)
		s.received += int64(n)
		return n, err
	}
	n, oobn, _, _, err := s.unix.ReadMsgUnix(p, s.oob[:])
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.EOF
		}
		return 0, err
	}
	return s.account(n, oobn)
}

// account notes what a read has brought. A read of nothing is the end.
func (s *source) account(n, oobn int) (int, error) {
	s.received += int64(n)
	if oobn > 0 {
		s.arrive(s.oob[:oobn])
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// arrive takes the descriptors out of what the kernel wrote beside the bytes. They are
// close-on-exec from the beginning (MSG_CMSG_CLOEXEC).
func (s *source) arrive(oob []byte) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return // the kernel wrote it: only a truncated message without descriptors
	}
	var files []*os.File
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue // credentials or the like
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	if len(files) > 0 {
		s.arrivals = append(s.arrivals, arrival{end: s.received, files: files})
	}
}

// take gives the one descriptor that came with the byte ending at end, nil if
// none or more than one did.
func (s *source) take(end int64) *os.File {
	if len(s.arrivals) == 0 || s.arrivals[0].end != end || len(s.arrivals[0].files) != 1 {
		return nil
	}
	f := s.arrivals[0].files[0]
	s.arrivals[0].files = nil
	return f
}

// closeStrays closes what came with bytes up to passed and nobody has taken.
func (s *source) closeStrays(passed int64) {
	for len(s.arrivals) > 0 && s.arrivals[0].end <= passed {
		for _, f := range s.arrivals[0].files {
			f.Close()
		}
		s.arrivals = s.arrivals[1:]
	}
	if len(s.arrivals) == 0 {
		s.arrivals = nil
	}
}
