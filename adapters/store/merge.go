package store

import (
	"fmt"
	"slices"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// merge joins definition and status of one name. Status comes first in
// documents, so what runs wins where two files claim one uuid. A definition without a uuid
// was given a drawn one; if its container runs, the uuid is that of what runs. What
// clashes is reported by damaged and left out; its file stays. Autostart is told of
// definitions alone, so a container without one never has it.
func merge(documents []*document, damaged func(string, error)) []ports.Stored {
	byName := make(map[string]*ports.Stored)
	holders := make(map[container.UUID]string)
	var names []string
	for _, d := range documents {
		definition := d.definition()
		if d.err == nil && definition == nil {
			continue // gone since the directory was listed
		}
		// A drawn uuid is as good as any other, so it gives way to the one that runs.
		if known := byName[d.name]; d.err == nil && known != nil && d.stored.Drawn.UUID {
			definition.UUID = known.Status.Definition.UUID
		}
		if d.err == nil {
			d.err = clash(byName[d.name], holders, definition)
		}
		if d.err != nil {
			damaged(d.path, d.err)
			continue
		}
		holders[definition.UUID] = d.name
		// Second part of the same container: the status came before.
		if known := byName[d.name]; known != nil {
			known.Config, known.Autostart, known.Drawn = d.stored.Config, d.stored.Autostart, d.stored.Drawn
			continue
		}
		byName[d.name] = &d.stored
		names = append(names, d.name)
	}
	slices.SortFunc(names, strings.Compare)
	stored := make([]ports.Stored, 0, len(names))
	for _, name := range names {
		stored = append(stored, *byName[name])
	}
	return stored
}

// definition is nil for a file that was damaged or is gone. Of a status it is that of
// what runs.
func (d *document) definition() *container.Definition {
	if d.stored.Status != nil {
		return d.stored.Status.Definition
	}
	return d.stored.Config
}

// clash finds out whether name or uuid belong to a file that came before. known is from a
// status whenever there is one: a directory has a name once, and State comes first.
func clash(known *ports.Stored, holders map[container.UUID]string, definition *container.Definition) error {
	if other, taken := holders[definition.UUID]; taken && other != definition.Name {
		return fmt.Errorf("uuid %s belongs to '%s' already", definition.UUID, other)
	}
	if known != nil && known.Status.Definition.UUID != definition.UUID {
		return fmt.Errorf("'%s' runs with another uuid, %s", definition.Name, known.Status.Definition.UUID)
	}
	return nil
}
