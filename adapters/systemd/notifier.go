package systemd

import (
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Notifier is the ports.Notifier for NOTIFY_SOCKET (sd_notify(3)).
type Notifier struct{}

var _ ports.Notifier = Notifier{}

// NewNotifier returns the notifier of this process. The environment is read
// with every message.
func NewNotifier() Notifier { return Notifier{} }

// Ready says that clients are served.
func (Notifier) Ready() error { return notify(daemon.SdNotifyReady) }

// Stopping says that the daemon is about to end.
func (Notifier) Stopping() error { return notify(daemon.SdNotifyStopping) }

// Status shows text to administrators. Lines separate messages, so it becomes one.
func (Notifier) Status(text string) error {
	return notify("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

func notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fault.Wrap(err, fault.System, "cannot notify the service manager")
	}
	return nil
}
