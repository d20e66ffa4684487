package audit

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of linux/audit.h, the kernel's interface. It is netlink(7) with one message in a
// packet each way.
const (
	requestStatus = 1000 // AUDIT_GET
	enabledOffset = 4    // of "enabled" in struct audit_status
)

// patience is how long the kernel may take to answer.
const patience = 2 * time.Second

// errSilent: no answer came.
var errSilent = errors.New("the kernel does not answer")

// socket talks to the kernel's audit subsystem. Not for concurrent use. Records need
// CAP_AUDIT_WRITE in the first user namespace (capabilities(7)).
type socket struct {
	fd       int
	sequence uint32
}

// openSocket fails with an errno where the kernel does not audit
// (EPROTONOSUPPORT).
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &socket{fd: fd}, nil
}

// enabled asks whether auditing is switched on. In namespaces of processes or
// users other than the first it cannot be told, and the trail is not ours:
// EPERM, ECONNREFUSED.
func (s *socket) enabled() (bool, error) {
	if err := s.request(requestStatus, nil); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(patience); ; {
		reply, err := s.receive(deadline)
		if err != nil {
			return false, err
		}
		if reply.kind == requestStatus && len(reply.payload) >= enabledOffset+4 {
			return binary.NativeEndian.Uint32(reply.payload[enabledOffset:]) != 0, nil
		}
		if err := s.refusal(reply); err != nil {
			return false, err
		}
	}
}

// send writes one record. The call itself may take as long as the kernel makes
// senders wait while its queue is full (a minute by default). The kernel
// answers before it returns; should there be no answer, all is well.
func (s *socket) send(kind uint16, text string) error {
	if err := s.request(kind, append([]byte(text), 0)); err != nil {
		return err
	}
	for {
		reply, err := s.receive(time.Time{})
		if errors.Is(err, errSilent) {
			return nil
		}
		if err != nil {
			return err
		}
		if reply.kind == unix.NLMSG_ERROR && reply.sequence == s.sequence {
			return s.refusal(reply)
		}
	}
}

// request sends a message to the kernel and wants an answer to it (NLM_F_ACK). The header
// is struct nlmsghdr: length, kind, flags, sequence, sender.
func (s *socket) request(kind uint16, payload []byte) error {
	s.sequence++
	message := make([]byte, 0, unix.NLMSG_HDRLEN+len(payload))
	message = binary.NativeEndian.AppendUint32(message, uint32(unix.NLMSG_HDRLEN+len(payload)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	message = binary.NativeEndian.AppendUint32(message, s.sequence)
	message = binary.NativeEndian.AppendUint32(message, 0)
	err := unix.Sendto(s.fd, append(message, payload...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("sendto", err)
}

// reply is one message of the kernel.
type reply struct {
	kind     uint16
	sequence uint32
	payload  []byte
}

// receive waits until the deadline, not at all for the zero one; then errSilent.
// Messages of others than the kernel are dropped.
func (s *socket) receive(deadline time.Time) (reply, error) {
	buffer := make([]byte, 1024) // of longer ones the rest is not needed
	for {
		n, from, err := unix.Recvfrom(s.fd, buffer, 0)
		switch sender, _ := from.(*unix.SockaddrNetlink); {
		case err == nil && sender != nil && sender.Pid == 0:
			if r, ok := parse(buffer[:n]); ok {
				return r, nil
			}
		case err == unix.EAGAIN:
			if err := s.wait(deadline); err != nil {
				return reply{}, err
			}
		case err != nil && err != unix.EINTR && err != unix.ENOBUFS:
			return reply{}, os.NewSyscallError("recvfrom", err)
		}
	}
}

// wait ends early for a signal; the caller looks again.
func (s *socket) wait(deadline time.Time) error {
	left := int64(0)
	if !deadline.IsZero() {
		left = time.Until(deadline).Milliseconds()
	}
	if left <= 0 {
		return errSilent
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(left))
	if err == unix.EINTR {
		return nil
	}
	return os.NewSyscallError("poll", err)
}

// parse reads the first message of a datagram; the kernel sends one in each.
// Lengths in the header may be those of the text alone, so they are not used.
func parse(datagram []byte) (reply, bool) {
	if len(datagram) < unix.NLMSG_HDRLEN {
		return reply{}, false
	}
	return reply{
		kind:     binary.NativeEndian.Uint16(datagram[4:]),
		sequence: binary.NativeEndian.Uint32(datagram[8:]),
		payload:  datagram[unix.NLMSG_HDRLEN:],
	}, true
}

// refusal is the error in a reply to the last request, nil if there is none: a number of
// errno(3), negated; 0 is how the kernel says that all is well.
func (s *socket) refusal(r reply) error {
	if r.kind != unix.NLMSG_ERROR || r.sequence != s.sequence || len(r.payload) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(r.payload)); code != 0 {
		return os.NewSyscallError("audit", unix.Errno(-code))
	}
	return nil
}

// Close loses nothing: the kernel has what it answered for.
func (s *socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }
