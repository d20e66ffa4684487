package registry_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/app/registry"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// TestAgainstAMap lets random changes happen and compares what all lookups say with
// a plain map: names, UUIDs, ids, list and entries must agree after each.
func TestAgainstAMap(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 3))
		r, entries := registry.New[int](), map[string]*registry.Entry[int]{}
		shown := map[string]*container.Snapshot{}
		for range 200 {
			n := random.IntN(6)
			name := fmt.Sprintf("c%d", n)
			e := entries[name]
			switch random.IntN(4) {
			case 0:
				claimed, err := r.Claim(name, id(n))
				assert.NoError(t, err)
				if e != nil {
					assert.Same(t, e, claimed, "it is known already")
				}
				entries[name] = claimed
			case 1:
				if e != nil {
					number := r.ReserveID(e, 1+random.IntN(3))
					if old := shown[name]; old != nil {
						r.ReleaseID(e, old.ID)
					}
					shown[name] = snapshot(name, id(n), number)
					r.Publish(e, shown[name])
				}
			case 2:
				if e != nil {
					if old := shown[name]; old != nil {
						r.ReleaseID(e, old.ID)
					}
					r.Drop(e)
					assert.True(t, e.Gone())
					delete(entries, name)
					delete(shown, name)
				}
			case 3:
				_, err := r.Claim(name, id(n+100))
				assert.Equal(t, e != nil, err != nil, "the name belongs to another uuid")
				if err == nil {
					stranger, _ := r.Claim(name, id(n+100))
					r.Drop(stranger)
				}
			}
			agree(t, r, shown)
		}
	}
}

func agree(t *testing.T, r *registry.Registry[int], shown map[string]*container.Snapshot) {
	sorted := slices.Sorted(maps.Keys(shown))
	var listed, entered []string
	for _, s := range r.List() {
		listed = append(listed, s.Name)
		assert.Same(t, shown[s.Name], s)
	}
	for _, e := range r.Entries() {
		entered = append(entered, e.Name)
	}
	assert.Equal(t, sorted, listed)
	assert.Equal(t, sorted, entered)
	for n := range 6 {
		name := fmt.Sprintf("c%d", n)
		want := shown[name]
		refs := []container.Ref{{By: container.ByName, Name: name}, {By: container.ByUUID, UUID: id(n)}}
		if want != nil {
			refs = append(refs, container.Ref{By: container.ByID, ID: want.ID})
		}
		for _, ref := range refs {
			found, err := r.Find(ref)
			if want == nil {
				assert.ErrorIs(t, err, fault.NotFound)
				continue
			}
			if assert.NoError(t, err) {
				assert.Same(t, want, found.Snapshot())
			}
		}
	}
}

// TestClaimsAreInvisible until something was published, also after a claim that came
// to nothing.
func TestClaimsAreInvisible(t *testing.T) {
	r := registry.New[int]()
	e, err := r.Claim("web", id(1))
	assert.NoError(t, err)
	number := r.ReserveID(e, 5)
	for _, ref := range []container.Ref{
		{By: container.ByName, Name: "web"}, {By: container.ByUUID, UUID: id(1)}, {By: container.ByID, ID: number},
	} {
		_, err := r.Find(ref)
		assert.ErrorIs(t, err, fault.NotFound)
	}
	assert.Empty(t, r.List())
	assert.Empty(t, r.Entries())
	assert.Nil(t, e.Snapshot())
	r.Drop(e)
	again, err := r.Claim("web", id(2))
	assert.NoError(t, err, "the name is free again")
	assert.NotSame(t, e, again)
	assert.False(t, again.Gone())
}
