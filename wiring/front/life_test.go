package front

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("broken")

func TestEveryWayToEnd(t *testing.T) {
	for name, end := range map[string]func(d *Daemon, stop context.CancelFunc){
		"a signal":      func(_ *Daemon, stop context.CancelFunc) { stop() },
		"administrator": func(d *Daemon, _ context.CancelFunc) { d.Administration.Shutdown(false) },
		"asked twice": func(d *Daemon, _ context.CancelFunc) {
			d.Administration.Shutdown(true)
			d.Administration.Shutdown(true)
		},
		"nobody needs it": func(d *Daemon, _ context.CancelFunc) { d.Administration.SetTimeout(7) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				d := w.daemon(t, 0)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				ended := w.run(ctx, d)
				time.Sleep(time.Hour) // without a limit it stays
				requireTold(t, w, beginning)
				end(d, stop)
				require.NoError(t, <-ended)
				requireTold(t, w, beginning, ending)
			})
		})
	}
}

// TestBusyStart: a daemon that still starts what is marked is not idle, however short
// its limit is.
func TestBusyStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.block["autostart"] = make(chan struct{})
		d := w.daemon(t, 10*time.Second)
		ended := w.run(t.Context(), d)
		time.Sleep(time.Hour)
		requireTold(t, w, beginning)
		close(w.block["autostart"])
		synctest.Wait()
		since := time.Now()
		require.NoError(t, <-ended)
		assert.Equal(t, 10*time.Second, time.Since(since))
		requireTold(t, w, beginning, ending)
	})
}

func TestWhatOnlyDeservesAWarning(t *testing.T) {
	for step, said := range map[string]string{
		"hook start - start":       "a hook of the daemon's start failed",
		"READY":                    "the service manager was not told that the daemon is ready",
		"autostart":                "autostart failed",
		"STOPPING":                 "the service manager was not told that the daemon stops",
		"hook shutdown - shutdown": "a hook of the daemon's end failed",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.fail[step] = errBroken
			ctx, stop := context.WithCancel(t.Context())
			ended := w.run(ctx, w.daemon(t, 0))
			synctest.Wait()
			stop()
			require.NoError(t, <-ended, step)
			requireTold(t, w, beginning, ending)
			assert.Contains(t, w.logged(), said+`" error=broken`)
		})
	}
}

func TestAStartThatFails(t *testing.T) {
	for step, told := range map[string]string{
		"sockets": "hook start - start; sockets",
		"recover": "hook start - start; sockets; recover; " + ending,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.fail[step] = errBroken
			require.ErrorIs(t, w.daemon(t, 0).Run(t.Context(), func() { t.Error("nobody is served") }), errBroken)
			requireTold(t, w, told)
		})
	}
}

func TestAnEndThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail["shutdown"] = errBroken
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.ErrorIs(t, w.daemon(t, 0).Run(ctx, func() {}), errBroken)
	})
}

// TestAnEndTakesNoLongerThanItMay: what hangs is given up, with an error that says so.
func TestAnEndTakesNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.block["hook shutdown - shutdown"] = make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		ended := w.run(ctx, w.daemon(t, 0))
		synctest.Wait()
		stop()
		since := time.Now()
		require.NoError(t, <-ended)
		assert.Equal(t, stopLimit, time.Since(since), "a hook that hangs is ended then")
		requireTold(t, w, beginning, ending)
	})
}

func TestReloadOfARunningDaemon(t *testing.T) {
	for step, said := range map[string]string{
		"":                         "",
		"RELOADING":                "the service manager was not told of a reload",
		"refresh":                  "cannot look for hook programs",
		"hook reload begin SIGHUP": "a hook of the reload failed",
		"definitions":              "cannot read the definitions again",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.fail[step] = errBroken
			ctx, stop := context.WithCancel(t.Context())
			d := w.daemon(t, 0)
			ended := w.run(ctx, d)
			synctest.Wait()
			d.Hangup()
			synctest.Wait()
			requireTold(t, w, beginning, reloading)
			if step != "" {
				assert.Contains(t, w.logged(), said+`" error=broken`)
			}
			stop()
			require.NoError(t, <-ended)
		})
	}
}

func TestReloadOfABadConfigurationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(t, 0)
		write(t, d.Configuration.files.Daemon, "max_clients = \"many\"")
		ctx, stop := context.WithCancel(t.Context())
		ended := w.run(ctx, d)
		synctest.Wait()
		d.Hangup()
		synctest.Wait()
		requireTold(t, w, beginning, "RELOADING; refresh; hook reload begin SIGHUP; definitions; READY")
		assert.Contains(t, w.logged(), "the new configuration is bad; the old one stays in force")
		stop()
		require.NoError(t, <-ended)
	})
}

// TestTheEndOvertakesReloads: the service manager, once told of the end, is not told
// that all is ready, and a reload that still waits is not begun.
func TestTheEndOvertakesReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.block["definitions"] = make(chan struct{})
		d := w.daemon(t, 0)
		ctx, stop := context.WithCancel(t.Context())
		ended := w.run(ctx, d)
		synctest.Wait()
		d.Hangup()
		synctest.Wait()
		d.Hangup()
		synctest.Wait()
		stop()
		require.NoError(t, <-ended)
		requireTold(t, w, beginning, "RELOADING; refresh; hook reload begin SIGHUP; obey; definitions", ending)
	})
}

// TestTheHostGoesDown: containers are stopped while the daemon goes on to serve.
func TestTheHostGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.delay = 5 * time.Second
		w.fail["stop all in 4s"] = errBroken
		w.block["stop all in 4s"] = make(chan struct{})
		d := w.daemon(t, 0)
		d.HostStops() // before anybody listens: not lost
		ctx, stop := context.WithCancel(t.Context())
		ended := w.run(ctx, d)
		synctest.Wait()
		assert.Contains(t, w.told(), "stop all in 4s")
		require.NoError(t, d.alive(ctx), "it goes on to serve")
		d.Hangup()
		synctest.Wait()
		assert.Contains(t, w.told(), reloading)
		close(w.block["stop all in 4s"])
		synctest.Wait()
		assert.Contains(t, w.logged(), `"cannot stop all containers" error=broken`)
		stop()
		require.NoError(t, <-ended)
	})
}

func TestHowManyRun(t *testing.T) {
	w := newWorld()
	w.fail["STATUS 1 container runs"] = errBroken // for the eye only: nobody minds
	for _, n := range []int{0, 1, 2, 1000} {
		TellRunning(w, n)
	}
	requireTold(t, w, "STATUS 0 containers run; STATUS 1 container runs; STATUS 2 containers run; STATUS 1000 containers run")
}
