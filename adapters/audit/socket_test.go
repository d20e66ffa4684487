package audit

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// trail opens the kernel's audit or skips.
func trail(t *testing.T) (s *socket, on bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the audit trail")
	}
	s, err := openSocket()
	if err != nil {
		t.Skipf("needs a kernel with auditing: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	on, err = s.enabled()
	if err != nil {
		t.Skipf("needs the first namespaces and CAP_AUDIT_CONTROL: %v", err)
	}
	return s, on
}

func TestKernelTakesRecords(t *testing.T) {
	s, _ := trail(t)
	id := container.Identity{Name: "vlx test"}
	for range 3 {
		record := audit.Stopped(id, 1, audit.Destroyed)
		require.NoError(t, s.send(uint16(record.Kind), message(record, "/x")))
	}
	require.NoError(t, s.send(uint16(audit.Resource), strings.Repeat("x", longest)))
}

func TestKernelRefuses(t *testing.T) {
	s, _ := trail(t)
	require.ErrorIs(t, s.send(1999, "x"), unix.EINVAL, "no such request")
	require.NoError(t, s.send(uint16(audit.Control), "virt=lxc op=vlxtest"), "later ones are not disturbed")
}

// TestRecordsAreInTheTrail reads what the kernel shows to all readers.
func TestRecordsAreInTheTrail(t *testing.T) {
	_, on := trail(t)
	if !on {
		t.Skip("needs auditing switched on (auditctl -e 1)")
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})) // AUDIT_NLGRP_READLOG
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))

	log, out := newLog()
	a, err := New(Options{Level: 2}, log)
	require.NoError(t, err)
	a.Record(audit.Stopped(container.Identity{Name: "vlx test"}, 4711, audit.Destroyed))
	require.NoError(t, a.Close())
	assert.Empty(t, out.String())

	buffer := make([]byte, 1<<14)
	for {
		n, err := unix.Read(fd, buffer)
		require.NoError(t, err, "no such record")
		r, ok := parse(buffer[:n])
		require.True(t, ok)
		if text := string(bytes.TrimRight(r.payload, "\x00")); r.kind == 2500 && strings.Contains(text, "vm=766C782074657374") {
			assert.Contains(t, text, `msg='virt=lxc op=stop reason=destroyed vm=766C782074657374 uuid=00000000-0000-0000-0000-000000000000 vm-pid=4711 exe="/`)
			assert.Contains(t, text, `" hostname=? addr=? terminal=? res=success'`)
			return
		}
	}
}

func TestLevels(t *testing.T) {
	_, on := trail(t)
	log, out := newLog()
	a, err := New(Options{Level: 1}, log)
	require.NoError(t, err)
	require.NotNil(t, a.kernel)
	a.Record(audit.Stopped(container.Identity{Name: "vlx"}, 1, audit.Destroyed))
	require.NoError(t, a.Close())
	assert.Empty(t, out.String(), "nothing was lost")

	a, err = New(Options{Level: 2}, log)
	if !on {
		require.ErrorIs(t, err, fault.System)
		require.ErrorContains(t, err, "switched off")
		return
	}
	require.NoError(t, err)
	require.NoError(t, a.Close())
}

// pair gives a socket whose kernel is the test.
func pair(t *testing.T) (s *socket, kernel int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return &socket{fd: fds[0]}, fds[1]
}

// TestOthersAreNotTheKernel: what does not come from the kernel counts as silence.
func TestOthersAreNotTheKernel(t *testing.T) {
	s, peer := pair(t)
	_, err := unix.Write(peer, make([]byte, 64))
	require.NoError(t, err)
	_, err = s.receive(time.Now().Add(time.Millisecond))
	assert.ErrorIs(t, err, errSilent)
}

func TestRefusal(t *testing.T) {
	s := &socket{sequence: 7}
	refused := binary.NativeEndian.AppendUint32(nil, uint32(0xffffffff)) // -EPERM
	assert.ErrorIs(t, s.refusal(reply{kind: unix.NLMSG_ERROR, sequence: 7, payload: refused}), unix.EPERM)
	assert.NoError(t, s.refusal(reply{kind: unix.NLMSG_ERROR, sequence: 6, payload: refused}), "of an earlier request")
	assert.NoError(t, s.refusal(reply{kind: requestStatus, sequence: 7, payload: refused}))
	assert.NoError(t, s.refusal(reply{kind: unix.NLMSG_ERROR, sequence: 7, payload: make([]byte, 4)}), "an answer, and a good one")
	assert.NoError(t, s.refusal(reply{kind: unix.NLMSG_ERROR, sequence: 7, payload: refused[:3]}))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 16))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		r, ok := parse(datagram)
		require.Equal(t, len(datagram) >= unix.NLMSG_HDRLEN, ok)
		if ok {
			require.Len(t, r.payload, len(datagram)-unix.NLMSG_HDRLEN)
			_ = (&socket{sequence: r.sequence}).refusal(r)
		}
	})
}
