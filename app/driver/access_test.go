package driver_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// asking is every call of a connection about a running container, with the
// rights it needs and, if it changes something, its public name.
var asking = map[string]struct {
	do     func(ctx context.Context, c ports.Connection) error
	needs  string
	public string
}{
	"Lookup": {func(ctx context.Context, c ports.Connection) error { _, err := c.Lookup(ctx, named("web")); return err }, "domain.getattr web", ""},
	"State":  {func(ctx context.Context, c ports.Connection) error { _, err := c.State(ctx, named("web")); return err }, "domain.read web", ""},
	"Info": {func(ctx context.Context, c ports.Connection) error {
		_, _, err := c.Info(ctx, named("web"))
		return err
	}, "domain.read web", ""},
	"Definition": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Definition(ctx, named("web"), ports.View{})
		return err
	}, "domain.read web", ""},
	"Definition, secure": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Definition(ctx, named("web"), ports.View{Secure: true})
		return err
	}, "domain.read web, domain.read-secure web", "virDomainGetXMLDesc with secure flag"},
	"Autostart": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Autostart(ctx, named("web"))
		return err
	}, "domain.read web", ""},
	"Metadata": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Metadata(ctx, named("web"), ports.MetadataKey{Kind: ports.Title})
		return err
	}, "domain.read web", ""},
	"List": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.List(ctx, container.Filter{})
		return err
	}, "connect.search-domains , domain.getattr web", ""},
	"PublicFacts": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.PublicFacts(ctx)
		return err
	}, "connect.getattr ", ""},
	"NodeFacts": {func(ctx context.Context, c ports.Connection) error { _, err := c.NodeFacts(ctx); return err }, "connect.read ", ""},
	"Define": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Define(ctx, document(plain("web", 1)), true)
		return err
	}, "domain.write web, domain.save web", "virDomainDefineXMLFlags"},
	"Create": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Create(ctx, document(plain("web", 1)), ports.StartOptions{})
		return err
	}, "domain.write web, domain.start web", "virDomainCreateXML"},
	"Start": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Start(ctx, named("web"), ports.StartOptions{})
		return err
	}, "domain.start web", "virDomainCreate"},
	"Undefine":     {func(ctx context.Context, c ports.Connection) error { return c.Undefine(ctx, named("web")) }, "domain.delete web", "virDomainUndefineFlags"},
	"SetAutostart": {func(ctx context.Context, c ports.Connection) error { return c.SetAutostart(ctx, named("web"), true) }, "domain.write web", "virDomainSetAutostart"},
	"SetMetadata": {func(ctx context.Context, c ports.Connection) error {
		return c.SetMetadata(ctx, named("web"), ports.MetadataKey{Kind: ports.Title}, text("x"))
	}, "domain.write web, domain.save web", "virDomainSetMetadata"},
	"SetMetadata, live": {func(ctx context.Context, c ports.Connection) error {
		return c.SetMetadata(ctx, named("web"), ports.MetadataKey{Kind: ports.Title, Live: true}, text("x"))
	}, "domain.write web", "virDomainSetMetadata"},
	"Suspend": {func(ctx context.Context, c ports.Connection) error { return c.Suspend(ctx, named("web")) }, "domain.suspend web", "virDomainSuspend"},
	"Resume":  {func(ctx context.Context, c ports.Connection) error { return c.Resume(ctx, named("web")) }, "domain.suspend web", "virDomainResume"},
	"Shutdown": {func(ctx context.Context, c ports.Connection) error {
		return c.Shutdown(ctx, named("web"), ports.Asking{})
	}, "domain.init-control web", "virDomainShutdown"},
	"Reboot": {func(ctx context.Context, c ports.Connection) error {
		return c.Reboot(ctx, named("web"), ports.Asking{})
	}, "domain.init-control web", "virDomainReboot"},
	"Destroy": {func(ctx context.Context, c ports.Connection) error { return c.Destroy(ctx, named("web")) }, "domain.stop web", "virDomainDestroy"},
	"Signal":  {func(ctx context.Context, c ports.Connection) error { return c.Signal(ctx, named("web"), 1, 0) }, "domain.send-signal web", "virDomainSendProcessSignal"},
	"OpenConsole": {func(ctx context.Context, c ports.Connection) error {
		console, err := c.OpenConsole(ctx, named("web"), "")
		if err == nil {
			err = console.Close()
		}
		return err
	}, "domain.open-device web", "virDomainOpenConsole"},
	"OpenNamespaces": {func(ctx context.Context, c ports.Connection) error {
		files, err := c.OpenNamespaces(ctx, named("web"))
		for _, file := range files {
			_ = file.Close()
		}
		return err
	}, "domain.open-namespace web", "virDomainLxcOpenNamespace"},
	"Subscribe": {func(ctx context.Context, c ports.Connection) error {
		_, err := c.Subscribe(ctx, ports.Subscription{Kind: ports.OtherEvent, Deliver: func(ports.Event) {}})
		return err
	}, "connect.search-domains ", ""},
}

func TestRightsThatAreAskedFor(t *testing.T) {
	for name, call := range asking {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(plain("web", 1))
				r.start("web")
				r.settle()
				user := r.connect(access.Caller{UID: 1000})
				seen := len(r.host.Asked())
				_ = call.do(r.ctx, user)
				var asked []string
				for _, question := range r.host.Asked()[seen:] {
					if strings.HasPrefix(question, "1000 ") {
						asked = append(asked, strings.TrimPrefix(question, "1000 "))
					}
				}
				assert.Equal(t, call.needs, strings.Join(asked, ", "))
				require.NoError(t, user.Close())
			})
		})
	}
}

// TestDeniedCallsChangeNothing denies each right that a call needs.
func TestDeniedCallsChangeNothing(t *testing.T) {
	for name, call := range asking {
		for need := range strings.SplitSeq(call.needs, ", ") {
			permission, _, _ := strings.Cut(need, " ")
			if name == "List" && permission == "domain.getattr" {
				continue // leaves it out, see TestListShowsWhatMayBeSeen
			}
			t.Run(name+" without "+permission, func(t *testing.T) {
				bench(t, func(r *rig) {
					r.define(plain("web", 1))
					r.start("web")
					r.happened()
					before := r.host.String()
					r.host.Deny(access.Permission(permission))
					assert.ErrorIs(t, call.do(r.ctx, r.client), fault.AccessDenied)
					r.host.Allow(access.Permission(permission))
					assert.Equal(t, before, r.host.String())
					assert.Empty(t, r.happened())
				})
			})
		}
	}
}

func TestReadOnlyConnectionsOnlyRead(t *testing.T) {
	for name, call := range asking {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(plain("web", 1))
				r.start("web")
				r.settle()
				reader := r.connect(access.Caller{ReadOnly: true})
				before := r.host.String()
				r.host.ForgetOps()
				err := call.do(r.ctx, reader)
				if call.public == "" {
					assert.NotErrorIs(t, err, fault.ReadOnly)
				} else {
					assert.ErrorIs(t, err, fault.ReadOnly)
					assert.ErrorContains(t, err, call.public)
					assert.Empty(t, r.host.Ops(), "refused before anything else")
				}
				require.NoError(t, reader.Close())
				assert.Equal(t, before, r.host.String())
			})
		})
	}
}

func TestReadOnlyText(t *testing.T) {
	bench(t, func(r *rig) {
		reader := r.connect(access.Caller{ReadOnly: true})
		assert.EqualError(t, reader.Suspend(r.ctx, named("none")), "read only access prevents virDomainSuspend")
		require.NoError(t, reader.Close())
	})
}

func TestConnectNeedsARight(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Deny(access.ConnectGetattr)
		_, err := r.driver.Connect(r.ctx, access.Caller{UID: 1000})
		assert.ErrorIs(t, err, fault.AccessDenied)
	})
}

func TestRightsAreCheckedBeforeParsing(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Deny(access.Write)
		nonsense := strings.Replace(document(plain("web", 1)), `"Memory":65536`, `"Memory":"much"`, 1)
		for _, document := range []string{document(plain("web", 1)), nonsense} {
			_, err := r.client.Define(r.ctx, document, false)
			assert.ErrorIs(t, err, fault.AccessDenied)
		}
	})
}

func TestListShowsWhatMayBeSeen(t *testing.T) {
	bench(t, func(r *rig) {
		for i, name := range []string{"c", "a", "b"} {
			r.define(plain(name, byte(i+1)))
		}
		r.start("b")
		list := func(filter container.Filter) (names string) {
			all, err := r.client.List(r.ctx, filter)
			require.NoError(t, err)
			for _, s := range all {
				names += s.Name
			}
			return names
		}
		assert.Equal(t, "abc", list(container.Filter{}))
		assert.Equal(t, "b", list(container.Filter{Active: true}))
		assert.Equal(t, "ac", list(container.Filter{Off: true}))
		assert.Empty(t, list(container.Filter{Paused: true}))
		one, err := r.client.List(r.ctx, container.Filter{})
		require.NoError(t, err)
		again, err := r.client.List(r.ctx, container.Filter{})
		require.NoError(t, err)
		assert.Same(t, &one[0], &again[0], "shared as it is")
		r.settle()
		r.host.Deny(access.Getattr)
		assert.Empty(t, list(container.Filter{}))
		require.NoError(t, r.client.Suspend(r.ctx, named("b")))
		r.settle()
		r.host.Allow(access.Getattr)
		assert.Equal(t, "abc", list(container.Filter{}))
		assert.NotContains(t, r.happened(), "b suspended 0 running", "dropped for who may not see it")
	})
}

func TestSubscriptionsBelongToTheirConnection(t *testing.T) {
	bench(t, func(r *rig) {
		other := r.connect(access.Caller{})
		var heard []string
		uuid := container.UUID{2}
		number, err := other.Subscribe(r.ctx, ports.Subscription{Container: &uuid, Deliver: func(e ports.Event) {
			heard = append(heard, fmt.Sprint(e.Container.Name, e.Change.Kind))
		}})
		require.NoError(t, err)
		assert.ErrorIs(t, r.client.Unsubscribe(r.ctx, number), fault.InvalidArgument)
		r.define(plain("web", 1))
		r.define(plain("db", 2))
		r.settle()
		assert.Equal(t, []string{"db0"}, heard)
		require.NoError(t, other.Unsubscribe(r.ctx, number))
		err = other.Unsubscribe(r.ctx, number)
		assert.ErrorContains(t, err, fmt.Sprintf("domain event callback %d not registered", number))
		_, err = other.Subscribe(r.ctx, ports.Subscription{Deliver: func(ports.Event) { heard = append(heard, "late") }})
		require.NoError(t, err)
		require.NoError(t, other.Close())
		_, err = other.Subscribe(r.ctx, ports.Subscription{Deliver: func(ports.Event) {}})
		assert.ErrorIs(t, err, fault.Aborted)
		require.NoError(t, r.client.Undefine(r.ctx, named("db")))
		r.settle()
		assert.Equal(t, []string{"db0"}, heard)
	})
}

// slowAccess takes a moment to answer about a container.
type slowAccess struct {
	ports.Access
	asking *atomic.Int32 // how many wait now
	most   *atomic.Int32 // did ever
}

func newSlowAccess(behind ports.Access) slowAccess {
	return slowAccess{behind, new(atomic.Int32), new(atomic.Int32)}
}

func (a slowAccess) Check(ctx context.Context, caller access.Caller, p access.Permission, object ports.AccessObject) error {
	if object.Name == "" {
		return nil
	}
	if now := a.asking.Add(1); now > a.most.Load() {
		a.most.Store(now)
	}
	defer a.asking.Add(-1)
	select {
	case <-time.After(time.Second):
		return a.Access.Check(ctx, caller, p, object)
	case <-ctx.Done():
		return fault.Denied("test")
	}
}

// TestSlowChecksHoldNobodyUp who changes something meanwhile, and a list whose
// caller went away is no short list.
func TestSlowChecksHoldNobodyUp(t *testing.T) {
	bench(t, func(r *rig) {
		for i := range 10 {
			r.define(plain(fmt.Sprint("c", i), byte(i+1)))
		}
		r.wrap = func(p *driver.Ports) { p.Access = newSlowAccess(p.Access) }
		r.restart(nil)
		listed := make(chan int, 1)
		go func() {
			all, err := r.client.List(r.ctx, container.Filter{Inactive: true})
			assert.NoError(t, err)
			listed <- len(all)
		}()
		r.settle()
		begun := time.Now()
		r.start("c0")
		assert.Equal(t, time.Second, time.Since(begun), "its own check alone")
		assert.Equal(t, 10, <-listed, "as it was when asked")
		for _, patience := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
			begun = time.Now()
			ctx, cancel := context.WithTimeout(r.ctx, patience)
			_, err := r.client.List(ctx, container.Filter{})
			assert.ErrorIs(t, err, fault.Aborted)
			assert.Equal(t, patience, time.Since(begun))
			cancel()
		}
		r.settle()
	})
}

// deniedNames are never seen, after a while of thought.
type deniedNames struct {
	slowAccess
	names map[string]bool
}

func (a deniedNames) Check(ctx context.Context, caller access.Caller, p access.Permission, object ports.AccessObject) error {
	if err := a.slowAccess.Check(ctx, caller, p, object); err != nil || !a.names[object.Name] {
		return err
	}
	return fault.Denied("test")
}

// TestSlowChecksOfAList are made several at a time, and the order stays.
func TestSlowChecksOfAList(t *testing.T) {
	bench(t, func(r *rig) {
		var want []string
		hidden := map[string]bool{}
		for i := range 41 {
			name := fmt.Sprintf("c%02d", i)
			r.define(plain(name, byte(i+1)))
			if hidden[name] = i%5 == 0 || i == 40; !hidden[name] {
				want = append(want, name)
			}
		}
		slow := newSlowAccess(nil)
		r.wrap = func(p *driver.Ports) {
			slow.Access = p.Access
			p.Access = deniedNames{slow, hidden}
		}
		r.restart(nil)
		begun := time.Now()
		all, err := r.client.List(r.ctx, container.Filter{Off: true})
		require.NoError(t, err)
		assert.Equal(t, want, namesOf(all))
		assert.Equal(t, 6*time.Second, time.Since(begun), "one, and five times eight")
		assert.EqualValues(t, 8, slow.most.Load())
	})
}

// TestQuickChecksOfAList are made one after the other: nothing would be gained.
func TestQuickChecksOfAList(t *testing.T) {
	bench(t, func(r *rig) {
		var want []string
		for i := range 150 {
			name := fmt.Sprintf("c%03d", i)
			r.define(plain(name, byte(i+1)))
			want = append(want, name)
		}
		r.settle() // events are about rights too
		seen := len(r.host.Asked())
		all, err := r.client.List(r.ctx, container.Filter{})
		require.NoError(t, err)
		assert.Equal(t, want, namesOf(all))
		var asked []string
		for _, question := range r.host.Asked()[seen+1:] {
			asked = append(asked, strings.TrimPrefix(question, "0 domain.getattr "))
		}
		assert.Equal(t, want, asked)
		ended, cancel := context.WithCancel(r.ctx)
		cancel()
		_, err = r.client.List(ended, container.Filter{})
		assert.ErrorIs(t, err, fault.Aborted)
	})
}

func namesOf(all []*container.Snapshot) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}
