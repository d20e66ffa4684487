package logging

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCategory(t *testing.T) {
	for function, want := range map[string]string{
		"virtlxcd/app/driver.(*Driver).Start":                     "lxc.driver",
		"virtlxcd/app/driver.(*Driver).Start.func1":               "lxc.driver",
		"virtlxcd/app/jobs.New":                                   "lxc.jobs",
		"virtlxcd/adapters/rpc.(*Server).accept":                  "rpc.server",
		"virtlxcd/adapters/rpc/remote.(*Handler).Call":            "rpc.remote",
		"virtlxcd/adapters/rpc/admin.X":                           "rpc.admin",
		"virtlxcd/adapters/domxml.Parse":                          "conf.domain",
		"virtlxcd/adapters/settings.Load":                         "util.conf",
		"virtlxcd/adapters/audit.(*Audit).repeat":                 "conf.domain_audit",
		"virtlxcd/adapters/dbus/polkit.(*Agent).Admit":            "util.polkit",
		"virtlxcd/adapters/linux/cgroup.(*Group).Apply":           "util.cgroup",
		"virtlxcd/adapters/systemd.Ready":                         "util.systemd",
		"virtlxcd/adapters/store.(*Store).Load":                   "util.store",
		"virtlxcd/wiring/daemon.Run":                              "daemon.virtlxcd",
		"virtlxcd/cmd/virtlxcd.run":                               "daemon.virtlxcd",
		"main.main":                                               "daemon.virtlxcd",
		"virtlxcd/app/feed.Map[go.shape.virtlxcd/app/driver.Key]": "lxc.feed",
		"virtlxcd/application.New":                                "util.application",
		"github.com/godbus/dbus/v5.(*Conn).inWorker":              "util.v5",
		"runtime.main":                                            "util.runtime",
		"":                                                        "util.",
	} {
		assert.Equal(t, want, category(function), function)
	}
}

func TestSites(t *testing.T) {
	var s sites
	assert.Same(t, nowhere, s.of(0))
	var pcs [1]uintptr
	runtime.Callers(1, pcs[:])
	first := s.of(pcs[0])
	assert.Equal(t, "virtlxcd/adapters/logging.TestSites", first.function)
	assert.Equal(t, "util.logging", first.category)
	assert.Contains(t, first.file, "category_test.go")
	assert.Same(t, first, s.of(pcs[0]))
}

func TestSitesFromManyGoroutines(t *testing.T) {
	var s sites
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for pc := range uintptr(200) {
				assert.NotNil(t, s.of(pc))
			}
		})
	}
	group.Wait()
	assert.Len(t, *s.known.Load(), 199)
}
