package stage

import "golang.org/x/sys/unix"

// slotsPerMessage stays below what one message carries (SCM_MAX_FD of unix(7)).
const slotsPerMessage = 200

// sendSlots hands filled slots over, in order, leaving out empty ones. They stay
// the caller's. Each message has one byte, because one without is none.
func sendSlots(socket int, slots []int) error {
	full := make([]int, 0, len(slots))
	for _, fd := range slots {
		if fd >= 0 {
			full = append(full, fd)
		}
	}
	for len(full) > 0 {
		some := full[:min(len(full), slotsPerMessage)]
		full = full[len(some):]
		if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(some...), nil, unix.MSG_NOSIGNAL); err != nil {
			return err
		}
	}
	return nil
}

// receiveSlots puts what was sent into the slots that are wanted, and -1 into the
// others. ECANCELED: the controller gave up. EBADMSG: the go-ahead came instead,
// so there are fewer than wanted.
// The order of sending and that of the slots are the same, which is all that tells the
// descriptors apart.
func receiveSlots(socket int, wanted []bool) ([]int, error) {
	slots := make([]int, len(wanted))
	var received []int
	for i, want := range wanted {
		slots[i] = -1
		if !want {
			continue
		}
		for len(received) == 0 {
			some, err := receiveSome(socket)
			if err != nil {
				return nil, err
			}
			received = some
		}
		slots[i], received = received[0], received[1:]
	}
	return slots, nil
}

// receiveSome waits for the next message.
// Descriptors arrive with close-on-exec set, so that init inherits none by accident.
func receiveSome(socket int) ([]int, error) {
	var byte1 [1]byte
	rights := make([]byte, unix.CmsgSpace(4*slotsPerMessage))
	for {
		n, length, _, _, err := unix.Recvmsg(socket, byte1[:], rights, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return nil, unix.ECANCELED
		}
		messages, err := unix.ParseSocketControlMessage(rights[:length])
		if err != nil || len(messages) != 1 {
			return nil, unix.EBADMSG
		}
		return unix.ParseUnixRights(&messages[0])
	}
}
