package rpc

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/access"
)

// peer asks the kernel who connected. Only local sockets can tell.
// See SO_PEERCRED in unix(7): the identity is that of connect(2), whatever the client
// becomes later. Start makes the number of a process that has ended useless to another.
func peer(conn net.Conn) (access.Caller, error) {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return access.Caller{}, fmt.Errorf("no identity on a %T", conn)
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return access.Caller{}, err
	}
	var cred *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		cred, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return access.Caller{}, fmt.Errorf("cannot identify client: %w", err)
	}
	return access.Caller{
		UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid), Start: startTime(int(cred.Pid)),
	}, nil
}

// Label is the SELinux context of the client, "" if the host does not use SELinux or
// the client is gone.
func (s *Session) Label() string {
	local, ok := s.conn.(*net.UnixConn)
	if !ok || !labelled() {
		return ""
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return ""
	}
	var label string
	err = raw.Control(func(fd uintptr) {
		label, _ = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_PEERSEC)
	})
	if err != nil {
		return ""
	}
	return label
}

// labelled tells whether labels are SELinux's: other security modules answer the same
// question in their own terms.
func labelled() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

// startTime is when a process began, in clock ticks since boot; 0 if that can not be
// found out, for example because it has ended.
// See proc_pid_stat(5).
func startTime(pid int) uint64 {
	if pid <= 0 {
		return 0
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	return parseStart(stat)
}

// parseStart takes field 22. The second field is a name in parentheses that may
// itself hold spaces and parentheses, so counting begins behind the last one.
func parseStart(stat []byte) uint64 {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0
	}
	const field = 22 - 3 // the next one is field 3
	fields := bytes.Fields(stat[end+1:])
	if len(fields) <= field {
		return 0
	}
	start, err := strconv.ParseUint(string(fields[field]), 10, 64)
	if err != nil {
		return 0
	}
	return start
}
