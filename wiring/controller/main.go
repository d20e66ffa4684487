// Package controller puts the controller process together. Like all that is
// linked into it, it keeps to raw system calls; with one value of each kind
// there is nothing for an injector to do.
package controller

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/endpoint"
	"virtlxcd/adapters/linux/loop"
	"virtlxcd/adapters/linux/stage"
	"virtlxcd/app/controller"
	"virtlxcd/ports/hold"
)

// The descriptors a controller is started with.
const (
	listenerFD = 3 // bound to the socket
	daemonFD   = 4 // connected to the daemon
)

// Main is the program: stage or controller, by its arguments. It returns, and the
// program ends with status 0, when everything is over; with 1 a stage or the event
// loop has failed, with 2 the program was not started by the daemon.
func Main() {
	arguments := arguments()
	if len(arguments) > 1 && arguments[1] == stage.Name {
		runtime.LockOSThread() // what is per thread must be the thread's that executes init
		stage.Run(arguments[2:])
		syscall.Exit(1)
	}
	socket := after(arguments, "--socket")
	if socket == "" || !listens(listenerFD) || !isSocket(daemonFD) {
		complain("started by virtlxcd, not by hand")
		syscall.Exit(2)
	}
	if err := run(socket); err != nil {
		complain(err.Error())
		syscall.Exit(1)
	}
}

// listens and isSocket keep a program that was started by hand from waiting for
// ever on descriptors that are none, and from removing the file that it was told
// is its socket.
func listens(fd int) bool {
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && accepts == 1
}

func isSocket(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil
}

// run serves until nothing is held any more and nobody could bring work.
func run(socket string) error {
	stage.Protect()
	unix.Umask(0) // nodes and directories get the modes that scripts say
	events, err := loop.New(stage.Load)
	if err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	makeRoom(null)
	unix.CloseOnExec(listenerFD)
	unix.CloseOnExec(daemonFD)
	daemon := endpoint.New(listenerFD, daemonFD, events)
	holder := controller.New(&stage.Kernel{Null: null, Socket: socket}, events, daemon)
	daemon.Serve(holder)
	err = events.Run(func(fd hold.FD, happened hold.Happening) {
		if !daemon.Ready(fd) {
			holder.Ready(fd, happened)
		}
	}, func() bool {
		return !holder.Finished() && (daemon.Connected() || !holder.Idle())
	})
	unix.Unlink(socket)
	return err
}

// room is how many descriptors a controller can have before its table must
// grow: in a process with threads that takes many milliseconds, which a start
// would have to wait for.
const room = 256

// makeRoom makes the table that large at once: a table never shrinks.
func makeRoom(null int) {
	if fd, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, room-1); err == nil {
		unix.Close(fd)
	}
}

// after finds the value of an option, "" if there is none.
func after(arguments []string, option string) string {
	for i, argument := range arguments {
		if argument == option && i+1 < len(arguments) {
			return arguments[i+1]
		}
	}
	return ""
}

// complain reaches only who starts the program by hand: the daemon gives it
// /dev/null.
func complain(text string) { unix.Write(2, []byte("libvirt_lxc: "+text+"\n")) }

// maxArguments bounds what is read of the own command line. It also is stack,
// and a stack once grown stays.
const maxArguments = 4 << 10

// arguments reads the own command line (proc(5)): package os, which has it, is
// not linked.
func arguments() (list []string) {
	fd, err := unix.Open("/proc/self/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	text := make([]byte, maxArguments)
	n, _ := unix.Read(fd, text)
	for start, i := 0, 0; i < n; i++ {
		if text[i] == 0 {
			list = append(list, string(text[start:i]))
			start = i + 1
		}
	}
	return list
}
