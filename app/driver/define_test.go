package driver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

func TestDefineAndUndefine(t *testing.T) {
	bench(t, func(r *rig) {
		empty := r.host.String()
		r.define(plain("web", 1))
		assert.Equal(t, []string{"web defined 0"}, r.happened())
		assert.Equal(t, "shutoff unknown persistent", r.state("web"))
		r.define(plain("web", 1))
		assert.Equal(t, []string{"web defined 1"}, r.happened())
		require.NoError(t, r.client.Undefine(r.ctx, named("web")))
		assert.Equal(t, []string{"web undefined 0"}, r.happened())
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.Equal(t, empty, r.host.String())
	})
}

func TestDefineWhileRunning(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		r.start("web")
		changed := plain("web", 1)
		changed.Description = "next"
		r.define(changed)
		assert.Equal(t, "running booted persistent updated", r.state("web"))
		for view, want := range map[ports.View]string{
			{}:               "web '' id=1001 inactive=false secure=false",
			{Inactive: true}: "web 'next' id=-1 inactive=true secure=false",
			{Secure: true}:   "web '' id=1001 inactive=false secure=true",
		} {
			text, err := r.client.Definition(r.ctx, named("web"), view)
			require.NoError(t, err)
			assert.Equal(t, want, asked(text))
		}
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, "shutoff destroyed persistent", r.state("web"))
		assert.Equal(t, []string{
			"web defined 0", "web started 0 running", "web defined 1 running", "web stopped 1",
		}, r.happened())
	})
}

func TestTransientBecomesPersistentAndBack(t *testing.T) {
	bench(t, func(r *rig) {
		r.create(plain("web", 1), ports.StartOptions{})
		assert.Equal(t, "running booted", r.state("web"))
		assert.EqualError(t, r.client.Undefine(r.ctx, named("web")),
			"virDomainUndefineFlags web: Cannot undefine transient domain")
		r.define(plain("web", 1))
		assert.Equal(t, "running booted persistent", r.state("web"))
		require.NoError(t, r.client.Undefine(r.ctx, named("web")))
		assert.Equal(t, "running booted", r.state("web"))
		r.define(plain("web", 1)) // once more: that is no news
		require.NoError(t, r.client.Undefine(r.ctx, named("web")))
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.Equal(t, []string{
			"web started 0 running", "web defined 0 running", "web undefined 0 running", "web defined 1 running",
			"web undefined 0 running", "web stopped 1",
		}, r.happened())
	})
}

func TestDefineRefusals(t *testing.T) {
	other := plain("web", 2)
	renamed := plain("db", 1)
	hostInit := plain("boot", 3)
	hostInit.Filesystems = nil
	network := plain("net", 4)
	network.Links = []device.Link{{Kind: device.Bridge, Source: "virbr0"}}
	for name, test := range map[string]struct {
		document string
		kind     fault.Kind
		text     string
	}{
		"name taken": {document(other), fault.Failed,
			"domain 'web' already exists with uuid " + container.UUID{1}.String()},
		"uuid taken": {document(renamed), fault.Failed,
			"domain 'web' is already defined with uuid " + container.UUID{1}.String()},
		"no document": {"{", fault.Malformed, ""},
		"no name":     {"{}", fault.NoName, "no name"},
		"host's init": {document(hostInit), fault.UnsupportedConfig, ""},
		"no netns":    {document(network), fault.WrongState, "System lacks NETNS support"},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(plain("web", 1))
				r.happened()
				r.host.ChangeFacts(func(f *host.Facts) {
					f.InitPaths = []string{"/sbin/init"}
					f.NetNamespaces = false
				})
				_, err := r.client.NodeFacts(r.ctx) // looks anew
				require.NoError(t, err)
				before := r.host.String()
				_, err = r.client.Define(r.ctx, test.document, false)
				assert.ErrorIs(t, err, test.kind)
				assert.ErrorContains(t, err, test.text)
				assert.Equal(t, before, r.host.String())
				assert.Empty(t, r.happened())
			})
		})
	}
}

func TestAutostartMark(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		for _, on := range []bool{true, true, false, false, true} {
			require.NoError(t, r.client.SetAutostart(r.ctx, named("web"), on))
			got, err := r.client.Autostart(r.ctx, named("web"))
			require.NoError(t, err)
			assert.Equal(t, on, got)
		}
		r.create(plain("db", 2), ports.StartOptions{})
		err := r.client.SetAutostart(r.ctx, named("db"), true)
		assert.ErrorIs(t, err, fault.WrongState)
		assert.ErrorContains(t, err, "Cannot set autostart for transient domain")
		_, err = r.client.Autostart(r.ctx, named("none"))
		assert.ErrorIs(t, err, fault.NotFound)
	})
}

func text(s string) *string { return &s }

func TestMetadata(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		r.happened()
		get := func(which ports.MetadataKey) string {
			got, err := r.client.Metadata(r.ctx, named("web"), which)
			if err != nil {
				assert.ErrorIs(t, err, fault.MetadataMissing)
				assert.ErrorContains(t, err, "Requested metadata element is not present")
			}
			return got
		}
		set := func(which ports.MetadataKey, text *string) {
			t.Helper()
			require.NoError(t, r.client.SetMetadata(r.ctx, named("web"), which, text))
		}
		title := ports.MetadataKey{Kind: ports.Title}
		app := ports.MetadataKey{Kind: ports.Element, Namespace: "urn:app", Prefix: "a"}
		assert.Empty(t, get(title))
		set(title, text("the web"))
		set(app, text("<x/>"))
		set(app, text("<y/>"))
		assert.Equal(t, "the web", get(title))
		assert.Equal(t, "a:<y/>", get(app))
		set(app, nil)
		set(app, nil) // nothing to remove, announced all the same
		assert.Empty(t, get(app))
		assert.Equal(t, []string{
			"web metadata 1 ", "web metadata 2 urn:app", "web metadata 2 urn:app", "web metadata 2 urn:app", "web metadata 2 urn:app",
		}, r.happened())

		r.start("web")
		set(title, text("live only"))
		both := ports.MetadataKey{Kind: ports.Description, Live: true, Persistent: true}
		set(both, text("both"))
		assert.Equal(t, "live only", get(title))
		assert.Equal(t, "the web", get(ports.MetadataKey{Kind: ports.Title, Persistent: true}))
		assert.Equal(t, "both", get(ports.MetadataKey{Kind: ports.Description, Persistent: true}))
		r.restart(nil)
		assert.Equal(t, "live only", get(title), "a new daemon knows it")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, "the web", get(title))
		assert.Equal(t, "both", get(ports.MetadataKey{Kind: ports.Description}))
	})
}

func TestMetadataRefusals(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("off", 1))
		r.create(plain("transient", 2), ports.StartOptions{})
		r.happened()
		before := r.host.String()
		for _, test := range []struct {
			name  string
			which ports.MetadataKey
			text  *string
			kind  fault.Kind
			want  string
		}{
			{"off", ports.MetadataKey{Kind: ports.Title}, text("a\nb"), fault.InvalidArgument, "metadata title can't contain newlines"},
			{"off", ports.MetadataKey{Kind: ports.Element, Prefix: "a"}, text("<x/>"), fault.InvalidArgument, "uri in virDomainSetMetadata must not be NULL"},
			{"off", ports.MetadataKey{Kind: ports.Element, Namespace: "urn:a"}, text("<x/>"), fault.InvalidArgument, "key in virDomainSetMetadata must not be NULL"},
			{"off", ports.MetadataKey{Kind: 7}, text("x"), fault.InvalidArgument, "unknown metadata type '7'"},
			{"off", ports.MetadataKey{Kind: ports.Element, Namespace: "urn:a", Prefix: "a"}, text("x"), fault.Malformed, "no element"},
			{"off", ports.MetadataKey{}, text(strings.Repeat("x", maxDocument)), fault.Malformed, "too large"},
			{"transient", ports.MetadataKey{}, text(strings.Repeat("x", maxDocument)), fault.Malformed, "too large"},
			{"off", ports.MetadataKey{Live: true}, text("x"), fault.WrongState, "domain is not running"},
			{"transient", ports.MetadataKey{Persistent: true}, text("x"), fault.WrongState, "transient domains do not have any persistent config"},
			{"none", ports.MetadataKey{}, text("x"), fault.NotFound, "No domain with matching name 'none'"},
		} {
			err := r.client.SetMetadata(r.ctx, named(test.name), test.which, test.text)
			assert.ErrorIs(t, err, test.kind, test.want)
			assert.ErrorContains(t, err, test.want)
		}
		_, err := r.client.Metadata(r.ctx, named("off"), ports.MetadataKey{Kind: 7})
		assert.ErrorContains(t, err, "unknown metadata type '7'")
		_, err = r.client.Metadata(r.ctx, named("off"), ports.MetadataKey{Live: true})
		assert.ErrorIs(t, err, fault.WrongState)
		assert.Empty(t, r.happened())
		assert.Equal(t, before, r.host.String())
	})
}
