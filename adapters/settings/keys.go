package settings

import (
	"reflect"

	"virtlxcd/domain/fault"
)

// reader makes the value of a key from a statement, or says what is wrong. It does not
// keep the statement. On error its value is not used.
type reader[V any] func(*entry) (V, error)

// effect says when a changed key counts. It is a promise of the manual and of the default
// files, which tests hold to the tables.
type effect uint8

const (
	restart effect = iota // sockets, identities and what was built on them
	live                  // can be applied to the running daemon
	inert                 // known to other daemons of the family only
)

// key is one key of a configuration T. One type serves both files: Daemon and Driver have
// a table of these each.
type key[T any] struct {
	name   string
	effect effect
	set    func(*T, *entry) error // leaves T alone on error
	same   func(a, b *T) bool
}

// keyAt describes a key by the field that holds it and the reader of its value. The types
// make sure that they belong together. Values are compared with DeepEqual, as some are
// slices.
func keyAt[T, V any](name string, effect effect, read reader[V], field func(*T) *V) key[T] {
	return key[T]{
		name: name, effect: effect,
		set: func(t *T, e *entry) error {
			v, err := read(e)
			if err == nil {
				*field(t) = v
			}
			return err
		},
		same: func(a, b *T) bool { return reflect.DeepEqual(*field(a), *field(b)) },
	}
}

// origin remembers where the keys of a configuration were given, for errors that turn up
// later: when keys are compared, groups looked up, files opened. The zero value is that
// of the defaults. fill makes its maps, and copies of the configuration share them.
type origin struct {
	file  string
	lines map[string]int
	bad   map[string]bool // given with a value that cannot be used
}

// given relies on lines being counted from 1.
func (o *origin) given(key string) bool { return o.lines[key] != 0 }

// wrong is an error about several keys that do not fit together: it is placed
// where the first of them that was given stands, and nil if one of them is
// known to be bad already.
func (o *origin) wrong(kind fault.Kind, keys []string, format string, args ...any) error {
	e := entry{file: o.file}
	for _, key := range keys {
		if o.bad[key] {
			return nil
		}
		if e.line == 0 {
			e.line = o.lines[key]
		}
	}
	return e.wrong(kind, format, args...)
}

// rejected turns what another package says about a key's value into an error
// that names the place; the place is left out for a default.
func (o *origin) rejected(key string, err error) error {
	if err == nil {
		return nil
	}
	if !o.given(key) {
		return fault.Wrap(err, fault.InvalidArgument, "value for '%s' parameter", key)
	}
	return fault.Wrap(err, fault.InvalidArgument, "%s:%d: value for '%s' parameter", o.file, o.lines[key], key)
}

// fill sets the keys given in entries: of a repeated one the first counts, even
// if it is bad. All bad values are reported. foreign explains unknown names. target comes
// with the defaults and keeps them for what is absent or bad. An unknown key is
// remembered too, so that its repetition is told as one.
func fill[T any](target *T, o *origin, keys []key[T], entries []entry, foreign func(string) string) (notices []Notice, problems []error) {
	known := make(map[string]key[T], len(keys))
	for _, k := range keys {
		known[k.name] = k
	}
	o.lines, o.bad = map[string]int{}, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		k, ok := known[e.key]
		switch {
		// A repetition is looked at before the name is: one notice for each statement.
		case o.given(e.key):
			notices = append(notices, e.notice("%s was given in line %d already: this one does not count", e.shownKey(), o.lines[e.key]))
			continue
		case !ok:
			notices = append(notices, e.notice("%s %s", e.shownKey(), foreign(e.key)))
		case k.effect == inert:
			notices = append(notices, e.notice("%s has no effect in virtlxcd", e.shownKey()))
		}
		// Also for a bad value: the second statement of a key does not step in for the
		// first.
		o.lines[e.key] = e.line
		if !ok {
			continue
		}
		if err := k.set(target, e); err != nil {
			o.bad[e.key] = true
			problems = append(problems, err)
		}
	}
	return notices, problems
}

// differ lists the keys that do not hold the same, in the order of the table. A reload
// does what is in now, and tells the administrator about what is in later.
func differ[T any](before, after *T, keys []key[T]) (now, later []string) {
	for _, k := range keys {
		switch {
		case k.effect == inert || k.same(before, after):
		case k.effect == live:
			now = append(now, k.name)
		default:
			later = append(later, k.name)
		}
	}
	return now, later
}
