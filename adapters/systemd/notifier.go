package systemd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Notifier is the ports.Notifier for NOTIFY_SOCKET (sd_notify(3)). A service
// manager that cannot be reached is warned about once, until it can be again;
// that is no reason to fail for a daemon that runs. So the methods only fail for
// what they are given. They are safe from any goroutine.
type Notifier struct {
	address  string // empty: no service manager
	watchdog time.Duration
	log      *slog.Logger
	lost     atomic.Bool // warned
}

var _ ports.Notifier = (*Notifier)(nil)

// sendLimit is how long a message may wait for a service manager that does not
// read. After one that waited in vain none waits until the manager reads again.
const sendLimit = 5 * time.Second

// NewNotifier returns the notifier of this process. It takes the variables out
// of the environment: children are not to speak for the daemon. Without NOTIFY_SOCKET all
// methods do nothing. A watchdog that makes no sense is logged and not served: the
// service manager will notice.
func NewNotifier(log *slog.Logger) *Notifier {
	n := &Notifier{address: os.Getenv("NOTIFY_SOCKET"), log: log}
	interval, err := watchdogInterval()
	if err != nil {
		log.Warn("the service manager's watchdog is not served", "error", err)
	}
	n.watchdog = interval
	// After watchdogInterval, which reads variables of its own.
	os.Unsetenv("NOTIFY_SOCKET")
	return n
}

// Ready says that clients are served (READY=1): units that come after this one may start.
// After Reloading it says that reading is over.
func (n *Notifier) Ready() error { return n.send(daemon.SdNotifyReady, nil) }

// Reloading says that the configuration is being read again; Ready follows. The service
// manager wants the time with it, to tell it from a Ready that was on its way
// (Type=notify-reload of systemd.service(5)).
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fault.Wrap(err, fault.System, "cannot read the clock")
	}
	return n.send(fmt.Sprintf(daemon.SdNotifyReloading+"\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)), nil)
}

// Stopping says that the daemon is about to end (STOPPING=1): it did not crash. It may be
// sent more than once.
func (n *Notifier) Stopping() error { return n.send(daemon.SdNotifyStopping, nil) }

// Status shows text to administrators. It never waits: a service manager that is busy
// misses it. It is a single line, cut at 4000 bytes; systemctl status shows it.
func (n *Notifier) Status(text string) error {
	if n.present() {
		_ = n.transmit("STATUS="+oneLine(text), nil, unix.MSG_DONTWAIT)
	}
	return nil
}

// longestStatus leaves room for the word before it: systemd ignores a message of more than
// 4096 bytes as a whole.
const longestStatus = 4000

// oneLine is the beginning of text as a service manager takes it. Lines separate messages,
// so it becomes one, and what is not UTF-8 would be ignored.
func oneLine(text string) string {
	text = text[:min(len(text), longestStatus)]
	text = strings.ToValidUTF8(text, "") // also of a letter that was cut through
	return strings.NewReplacer("\n", " ", "\x00", " ").Replace(text)
}

// Extend asks for that much time from now on, for a start or stop that takes
// longer than the service manager allows. Repeat it before it is over. It is in
// microseconds on the wire and counts from when it is read (sd_notify(3)).
func (n *Notifier) Extend(by time.Duration) error {
	return n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()), nil)
}

// LastWords returns what shows administrators why the daemon failed: a service
// manager that starts it again shows nothing of the log until that succeeds. To be
// called before NewNotifier, which takes the address away.
func LastWords() (tell func(why error)) {
	n := &Notifier{address: os.Getenv("NOTIFY_SOCKET"), log: slog.New(slog.DiscardHandler)}
	return func(why error) {
		_ = n.Status(why.Error()) // there is nobody left to be told that it failed
	}
}

// present says whether there is a service manager to speak to.
func (n *Notifier) present() bool { return n.address != "" }

// send sends a message, with a duplicate of file if there is one. It fails only
// if file is closed. While the service manager is lost it does not wait, so a stuck one
// costs 5 s once.
func (n *Notifier) send(message string, file *os.File) error {
	if !n.present() {
		return nil
	}
	flags := 0
	if n.lost.Load() {
		flags = unix.MSG_DONTWAIT
	}
	if file == nil {
		n.judge(n.transmit(message, nil, flags))
		return nil
	}
	conn, err := file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { n.judge(n.transmit(message, unix.UnixRights(int(fd)), flags)) })
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "cannot leave a descriptor with the service manager")
	}
	return nil
}

// transmit uses a new socket each time: the service manager may have been replaced. An
// address that begins with "@" is an abstract one; the library turns it into the kernel's
// form. EINTR is tried again.
func (n *Notifier) transmit(message string, rights []byte, flags int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// The socket blocks, but not for ever: a full queue is a service manager that is
	// busy.
	limit := unix.NsecToTimeval(sendLimit.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	for {
		err = unix.Sendmsg(fd, []byte(message), rights, &unix.SockaddrUnix{Name: n.address}, flags|unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// judge logs when the service manager is lost and when it is back. Of several goroutines
// that find out at once, one logs.
func (n *Notifier) judge(err error) {
	lost := err != nil
	if n.lost.Swap(lost) == lost {
		return
	}
	if lost {
		n.log.Warn("the service manager cannot be told how the daemon is", "socket", n.address, "error", err)
		return
	}
	n.log.Info("the service manager can be reached again", "socket", n.address)
}
