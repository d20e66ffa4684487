package driver

import (
	"context"
	"slices"
	"strings"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Metadata implements ports.Definitions. An empty description is one that is
// not there: clients cannot tell the two apart.
func (c *connection) Metadata(ctx context.Context, ref container.Ref, which ports.MetadataKey) (string, error) {
	snapshot, err := c.look(ctx, ref, access.Read)
	if err != nil {
		return "", err
	}
	scope, err := scopeOf(snapshot, which)
	if err != nil {
		return "", err
	}
	definition := snapshot.Config
	if scope.live {
		definition = snapshot.Live
	}
	text, err := readMetadata(definition, which)
	if err == nil && text == "" {
		err = fault.New(fault.MetadataMissing, fault.API, "Requested metadata element is not present")
	}
	return text, err
}

// readMetadata returns "" for what is not there. A kind that clients may name
// and nobody knows is InvalidArgument.
func readMetadata(definition *container.Definition, which ports.MetadataKey) (string, error) {
	switch which.Kind {
	case ports.Description:
		return definition.Description, nil
	case ports.Title:
		return definition.Title, nil
	case ports.Element:
		if at := element(definition, which.Namespace); at >= 0 {
			return definition.Metadata[at].Text, nil
		}
		return "", nil
	}
	return "", unknownMetadata(which.Kind)
}

// element finds the place of a namespace, of which a definition has at most
// one; -1 for none. The codec keeps the first of each, since the namespace is
// its only name.
func element(definition *container.Definition, namespace string) int {
	return slices.IndexFunc(definition.Metadata, func(m container.Metadata) bool { return m.Namespace == namespace })
}

// unknownMetadata names the number as the client sent it.
func unknownMetadata(kind ports.MetadataKind) error {
	return fault.New(fault.InvalidArgument, fault.API, "unknown metadata type '%d'", kind)
}

// scope says which of a container's definitions a call is about. Both may be
// set for a change. Metadata reads the live one then.
type scope struct{ live, config bool }

// scopeOf answers NotRunning or NoPersistent for a definition that is asked for
// and is not there. Neither asked for: the one that counts now. Called with the
// gate held for changes; reads take it as it is shown.
func scopeOf(s *container.Snapshot, which ports.MetadataKey) (scope, error) {
	wanted := scope{live: which.Live, config: which.Persistent}
	if !wanted.live && !wanted.config {
		wanted.live = s.Live != nil
		wanted.config = !wanted.live
	}
	if wanted.live && s.Live == nil {
		return wanted, fault.NotRunning()
	}
	if wanted.config && !s.Persistent {
		return wanted, fault.NoPersistent()
	}
	return wanted, nil
}

// SetMetadata implements ports.Definitions. The right to save is asked for
// unless only the running container is meant, as the wish for the present one
// may come down to the stored definition.
func (c *connection) SetMetadata(ctx context.Context, ref container.Ref, which ports.MetadataKey, text *string) error {
	if err := c.writable(callMetadata); err != nil {
		return err
	}
	if err := checkMetadata(which, text); err != nil {
		return err
	}
	permissions := []access.Permission{access.Write}
	if which.Persistent || !which.Live {
		permissions = append(permissions, access.Save)
	}
	wish := request{call: callMetadata, ref: ref, permissions: permissions}
	return c.change(ctx, wish, func(ctx context.Context, e *entry) error {
		return c.driver.setMetadata(ctx, e, which, text)
	})
}

// checkMetadata refuses what is wrong whatever the container is, before it is
// looked for. The texts are those of the interface, with the names of its
// arguments. Kind InvalidArgument.
func checkMetadata(which ports.MetadataKey, text *string) error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.InvalidArgument, fault.API, format, args...)
	}
	switch which.Kind {
	case ports.Description:
	case ports.Title:
		if text != nil && strings.Contains(*text, "\n") {
			return invalid("metadata title can't contain newlines")
		}
	case ports.Element:
		if which.Namespace == "" {
			return invalid("uri in %s must not be NULL", callMetadata)
		}
		if text != nil && which.Prefix == "" {
			return invalid("key in %s must not be NULL", callMetadata)
		}
	default:
		return unknownMetadata(which.Kind)
	}
	return nil
}

// setMetadata changes the definitions in question: all of them or none. Taking
// away what is not there is announced as well. The stored definition is written
// first and put back if the live one cannot be. Called with the gate held.
func (d *Driver) setMetadata(ctx context.Context, e *entry, which ports.MetadataKey, text *string) error {
	before := e.Snapshot()
	scope, err := scopeOf(before, which)
	if err != nil {
		return err
	}
	edit, err := d.metadataEdit(which, text)
	if err != nil {
		return err
	}
	config, live, err := d.edited(before, scope, edit)
	if err != nil {
		return err
	}
	if scope.config {
		defer d.reloads.touch(e.Name)
		if err := d.ports.Store.SaveDefinition(ctx, config); err != nil {
			d.restoreDefinition(ctx, e)
			return err
		}
	}
	if scope.live {
		if err := d.saveLive(ctx, e, live); err != nil {
			if scope.config {
				d.restoreDefinition(ctx, e)
			}
			return err
		}
	}
	shown := d.publish(e, func(s *container.Snapshot) { s.Config, s.Live = config, live })
	d.feed.Publish(ports.Event{
		Kind: ports.MetadataEvent, Container: shown.Identity, Metadata: which.Kind, Namespace: which.Namespace,
	})
	return nil
}

// edited returns both definitions as they are to be. One that could not be read
// back, because it has grown too large, is refused: the next daemon would lose
// the container. Only those in scope are copies; the other is the shared one,
// unchanged.
func (d *Driver) edited(before *container.Snapshot, scope scope, edit func(*container.Definition) *container.Definition) (config, live *container.Definition, err error) {
	config, live = before.Config, before.Live
	if scope.config {
		config = edit(config)
		if err := d.readable(config); err != nil {
			return nil, nil, err
		}
	}
	if scope.live {
		live = edit(live)
		if err := d.readable(live); err != nil {
			return nil, nil, err
		}
	}
	return config, live, nil
}

// readable reads back what would be stored: limits such as that of a document's
// size count for the text as a whole, which no check of one element can know.
func (d *Driver) readable(definition *container.Definition) error {
	text := d.ports.Codec.Format(definition, ports.Format{ID: container.NoID, Inactive: true})
	_, err := d.ports.Codec.Parse(text)
	return err
}

// saveLive makes definition the one that a new daemon finds running. The live
// definition is part of the status. Called with the gate held, while it runs.
func (d *Driver) saveLive(ctx context.Context, e *entry, definition *container.Definition) error {
	r := e.Data.run.Load()
	status := r.status
	status.Definition = definition
	return d.saveStatus(ctx, r, status)
}

// metadataEdit returns what makes a changed copy of a definition. The element
// is checked once, before anything is copied. A nil text takes away.
func (d *Driver) metadataEdit(which ports.MetadataKey, text *string) (func(*container.Definition) *container.Definition, error) {
	plain := ""
	if text != nil {
		plain = *text
	}
	var fresh container.Metadata
	if which.Kind == ports.Element && text != nil {
		var err error
		if fresh, err = d.ports.Codec.Metadata(plain, which.Prefix, which.Namespace); err != nil {
			return nil, err
		}
	}
	return func(definition *container.Definition) *container.Definition {
		edited := definition.Clone()
		switch which.Kind {
		case ports.Description:
			edited.Description = plain
		case ports.Title:
			edited.Title = plain
		case ports.Element:
			edited.Metadata = replaceElement(edited.Metadata, which.Namespace, fresh, text != nil)
		}
		return edited
	}, nil
}

// replaceElement keeps the order of the others; what is set goes to the end. It works
// in place, so all is a copy of the caller's.
func replaceElement(all []container.Metadata, namespace string, fresh container.Metadata, set bool) []container.Metadata {
	all = slices.DeleteFunc(all, func(m container.Metadata) bool { return m.Namespace == namespace })
	if set {
		all = append(all, fresh)
	}
	return all
}
