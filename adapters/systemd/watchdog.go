package systemd

import (
	"context"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"virtlxcd/domain/fault"
)

// Watchdog tells the service manager that the daemon is alive, twice in each
// interval that it asked for, as long as alive answers nil; it returns when ctx
// ends, or at once if nobody asked. After the interval without a message the
// service manager kills and restarts the daemon. Alive is asked from this
// goroutine and has to answer soon: while it is silent, nothing is sent. The first
// message goes out at once.
func (n *Notifier) Watchdog(ctx context.Context, alive func(context.Context) error) {
	if n.watchdog == 0 || !n.present() {
		return
	}
	// Half the interval, as sd_watchdog_enabled(3) advises.
	ticker := time.NewTicker(n.watchdog / 2)
	defer ticker.Stop()
	for ill := false; ; {
		ill = n.pulse(ctx, alive, ill)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pulse asks once. It logs the first of several bad answers. It returns whether the
// answer was bad, for the next call.
func (n *Notifier) pulse(ctx context.Context, alive func(context.Context) error, ill bool) bool {
	if err := alive(ctx); err != nil {
		// An answer that is bad because the daemon ends is no illness.
		if !ill && ctx.Err() == nil {
			n.log.Error("the daemon is not well, its watchdog is not fed", "error", err)
		}
		return true
	}
	_ = n.send(daemon.SdNotifyWatchdog, nil) // fails only with a file
	return false
}

// watchdogInterval takes WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog_enabled(3)) out of
// the environment. 0: nothing was asked for, or of another process. The library
// multiplies without looking: what does not fit comes out as any interval at all. What it
// refuses is InvalidArgument.
func watchdogInterval() (time.Duration, error) {
	asked := os.Getenv("WATCHDOG_USEC")
	interval, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return 0, fault.Wrap(err, fault.InvalidArgument, "cannot serve a watchdog")
	}
	if interval == 0 && asked == "" {
		return 0, nil
	}
	if usec, err := strconv.ParseInt(asked, 10, 64); err != nil || usec > math.MaxInt64/int64(time.Microsecond) {
		return 0, fault.New(fault.InvalidArgument, fault.Host, "WATCHDOG_USEC '%s' is no interval", asked)
	}
	return interval, nil
}
