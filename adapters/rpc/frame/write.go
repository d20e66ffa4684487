package frame

import (
	"net"
	"os"
	"syscall"
)

// Write sends a finished packet and then the descriptors it announces, which
// remain the caller's. Packets of one connection must not be written at the same
// time by two goroutines. After an error the connection is of no more use.
func Write(conn net.Conn, packet []byte, files []*os.File) error {
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	return WriteFiles(conn, files)
}

// WriteBody sends a packet whose payload lies elsewhere, in one system call and
// without copying it. head is what AppendHeader made; its length is set.
func WriteBody(conn net.Conn, head, body []byte) error {
	if len(head) < HeaderSize || len(head)+len(body) > MaxPacket {
		return ErrLength
	}
	setLength(head, len(head)+len(body))
	parts := net.Buffers{head, body}
	_, err := parts.WriteTo(conn)
	return err
}

// WriteFiles sends descriptors the way they follow a packet: one byte each, in
// order. ErrFDs if there are too many or conn cannot pass any.
func WriteFiles(conn net.Conn, files []*os.File) error {
	if len(files) == 0 {
		return nil
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok || len(files) > MaxFDs {
		return ErrFDs
	}
	for _, f := range files {
		if err := writeFile(unix, f); err != nil {
			return err
		}
	}
	return nil
}

// writeFile keeps the file open while it is sent, and leaves its mode alone.
func writeFile(conn *net.UnixConn, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) {
		_, _, failure = conn.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(fd)), nil)
	})
	if err != nil {
		return err
	}
	return failure
}
