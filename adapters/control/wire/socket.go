package wire

import "golang.org/x/sys/unix"

// Send writes one packet, whole or not at all, without waiting. The descriptors
// stay the caller's. EAGAIN: the other end does not read. EPIPE: it is gone. EINVAL:
// more than MaxFiles descriptors. EBADF: one of them is not open.
func Send(socket int, packet []byte, fds []int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(socket, packet, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return err
		}
	}
}

// Receive reads one packet into packet. n is 0 at the end. The descriptors are
// the caller's, whatever is wrong with the packet. EAGAIN: none is there.
// A packet longer than the buffer and descriptors that did not fit are ErrForeign.
func Receive(socket int, packet []byte) (n int, fds []int, err error) {
	var rights [(MaxFiles + 8) * 4]byte
	var got, flags int
	for {
		n, got, flags, _, err = unix.Recvmsg(socket, packet, rights[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, nil, err
	}
	fds = parse(rights[:got])
	if flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0 {
		return n, fds, ErrForeign
	}
	return n, fds, nil
}

// parse collects the descriptors of all control messages. Others than SCM_RIGHTS
// are not asked for.
func parse(rights []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for i := range messages {
		if some, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, some...)
		}
	}
	return fds
}
