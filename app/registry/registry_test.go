package registry_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/registry"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

func id(n int) container.UUID { return container.UUID{14: byte(n >> 8), 15: byte(n)} }

func snapshot(name string, uuid container.UUID, number int) *container.Snapshot {
	return &container.Snapshot{Identity: container.Identity{Name: name, UUID: uuid, ID: number}}
}

func add(t testing.TB, r *registry.Registry[int], name string, n int) *registry.Entry[int] {
	e, err := r.Claim(name, id(n))
	require.NoError(t, err)
	r.Publish(e, snapshot(name, id(n), container.NoID))
	return e
}

func names(r *registry.Registry[int]) (all []string) {
	for _, s := range r.List() {
		all = append(all, s.Name)
	}
	return all
}

func TestListIsSortedAndShared(t *testing.T) {
	r := registry.New[int]()
	assert.Empty(t, r.List())
	for i, name := range []string{"m", "a", "z", "b", "aa"} {
		add(t, r, name, i)
	}
	assert.Equal(t, []string{"a", "aa", "b", "m", "z"}, names(r))
	before := r.List()
	assert.Same(t, &before[0], &r.List()[0], "no copy is made")

	e, err := r.Find(container.Ref{By: container.ByName, Name: "b"})
	require.NoError(t, err)
	changed := snapshot("b", e.UUID, 7)
	r.Publish(e, changed)
	assert.Same(t, changed, r.List()[2])
	assert.NotSame(t, changed, before[2], "an old list never changes")
	r.Drop(e)
	r.Drop(e)
	assert.True(t, e.Gone())
	assert.Equal(t, []string{"a", "aa", "m", "z"}, names(r))
	assert.Len(t, before, 5)
}

func TestClaimConflicts(t *testing.T) {
	r := registry.New[int]()
	e := add(t, r, "web", 1)
	same, err := r.Claim("web", id(1))
	require.NoError(t, err)
	assert.Same(t, e, same)
	_, err = r.Claim("web", id(2))
	assert.EqualError(t, err, "domain 'web' already exists with uuid "+id(1).String())
	assert.ErrorIs(t, err, fault.Failed)
	_, err = r.Claim("other", id(1))
	assert.EqualError(t, err, "domain 'web' is already defined with uuid "+id(1).String())

	unseen, err := r.Claim("new", id(3))
	require.NoError(t, err)
	_, err = r.Find(container.Ref{By: container.ByName, Name: "new"})
	assert.ErrorIs(t, err, fault.NotFound, "invisible before it is published")
	assert.Equal(t, []string{"web"}, names(r))
	assert.Len(t, r.Entries(), 1)
	r.Drop(unseen)
	add(t, r, "new", 4)
}

func TestFindInTheWordsOfEachLookup(t *testing.T) {
	r := registry.New[int]()
	e := add(t, r, "web", 1)
	r.Publish(e, snapshot("web", id(1), r.ReserveID(e, 12)))
	for _, test := range []struct {
		hit, miss container.Ref
		text      string
	}{
		{container.Ref{By: container.ByName, Name: "web"}, container.Ref{By: container.ByName, Name: "x"},
			"No domain with matching name 'x'"},
		{container.Ref{By: container.ByID, ID: 12}, container.Ref{By: container.ByID, ID: 13},
			"No domain with matching id 13"},
		{container.Ref{UUID: id(1), Name: "ignored"}, container.Ref{UUID: id(9), Name: "old"},
			"no domain with matching uuid '" + id(9).String() + "' (old)"},
		{container.Ref{By: container.ByUUIDLookup, UUID: id(1)}, container.Ref{By: container.ByUUIDLookup, UUID: id(9)},
			"No domain with matching uuid '" + id(9).String() + "'"},
	} {
		found, err := r.Find(test.hit)
		require.NoError(t, err)
		assert.Same(t, e, found)
		_, err = r.Find(test.miss)
		assert.EqualError(t, err, test.text)
		assert.ErrorIs(t, err, fault.NotFound)
	}
}

func TestIDsNeverCollide(t *testing.T) {
	r := registry.New[int]()
	a, b, c := add(t, r, "a", 1), add(t, r, "b", 2), add(t, r, "c", 3)
	assert.Equal(t, 100, r.ReserveID(a, 100))
	assert.Equal(t, 101, r.ReserveID(b, 100))
	assert.Equal(t, 102, r.ReserveID(c, 101))
	_, err := r.Find(container.Ref{By: container.ByID, ID: 100})
	assert.ErrorIs(t, err, fault.NotFound, "reserved is not shown")
	r.ReleaseID(a, 101)
	assert.Equal(t, 103, r.ReserveID(a, 101), "what is b's cannot be released by a")
	r.ReleaseID(b, 101)
	assert.Equal(t, 101, r.ReserveID(c, 100+1))
	assert.Equal(t, 1, r.ReserveID(c, -5))
}

func TestConcurrentUse(t *testing.T) {
	r := registry.New[int]()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				name := fmt.Sprintf("c%d-%d", i, n)
				e, err := r.Claim(name, id(i*50+n))
				if !assert.NoError(t, err) {
					return
				}
				r.Publish(e, snapshot(name, e.UUID, r.ReserveID(e, 1)))
				_, err = r.Find(container.Ref{By: container.ByID, ID: e.Snapshot().ID})
				assert.NoError(t, err)
				if n%2 == 0 {
					r.ReleaseID(e, e.Snapshot().ID)
					r.Drop(e)
				}
				assert.IsIncreasing(t, names(r))
			}
		})
	}
	wg.Wait()
	assert.Len(t, r.List(), 200)
}

func BenchmarkListOf1000(b *testing.B) {
	r := registry.New[int]()
	for i := range 1000 {
		add(b, r, fmt.Sprint(i), i)
	}
	for b.Loop() {
		if len(r.List()) != 1000 {
			b.Fatal("short list")
		}
	}
}

func BenchmarkPublishAmong1000(b *testing.B) {
	r := registry.New[int]()
	var e *registry.Entry[int]
	for i := range 1000 {
		e = add(b, r, fmt.Sprint(i), i)
	}
	s := e.Snapshot()
	for b.Loop() {
		r.Publish(e, s)
	}
}
