package cgroup

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// updateMap changes the map of an attached program, entry by entry: each change
// counts for the next device that is opened. Nothing allowed by both lists is
// refused meanwhile. False: the map has no room for both, or is not one of ours;
// nothing was changed then. Other entries than those that differ are not written.
func updateMap(program *ebpf.Program, list deviceList) (bool, error) {
	rules, err := programMap(program)
	if err != nil || rules == nil {
		return false, err
	}
	defer rules.Close()
	before, err := readMap(rules)
	if err != nil {
		return false, err
	}
	entries, room := transition(before, list)
	// The caller then loads a new program with a larger map.
	if room > int(rules.MaxEntries()) {
		return false, nil
	}
	for _, entry := range entries {
		if err := entry.write(rules); err != nil {
			return false, err
		}
	}
	return true, nil
}

// readMap returns what is in a map. A part of it is of no use: rules that were
// not seen would never be taken back.
func readMap(rules *ebpf.Map) (deviceList, error) {
	var (
		key    deviceKey
		rights uint32
	)
	list := deviceList{}
	entries := rules.Iterate()
	for entries.Next(&key, &rights) {
		list[key] = rights
	}
	return list, entries.Err()
}

// entry is one step of a change to a map; without rights it goes.
type entry struct {
	key    deviceKey
	rights uint32
}

// write makes the step. One that is gone already is as it should be. It counts at once,
// for all processors.
func (e entry) write(rules *ebpf.Map) error {
	if e.rights != 0 {
		return rules.Put(e.key, e.rights)
	}
	if err := rules.Delete(e.key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// transition orders the steps from one list to another: all rights are given
// before any is taken. A right may pass from a rule about one device to one about
// all of its kind, and must not be missing in between. room is how many entries
// there are at most on the way.
func transition(before, after deviceList) (steps []entry, room int) {
	room = len(before)
	for key, rights := range after {
		if _, ok := before[key]; !ok {
			room++
		}
		// Given on top of the old rights, which the second loop takes.
		if rights&^before[key] != 0 {
			steps = append(steps, entry{key, rights | before[key]})
		}
	}
	for key, rights := range before {
		if rights&^after[key] != 0 {
			steps = append(steps, entry{key, after[key]})
		}
	}
	return steps, room
}

// programMap opens the map our program looks into, nil if it is not as we make
// it today: then a new program takes the place of the old one. That happens after an
// update of the daemon while containers run. The caller closes it.
func programMap(program *ebpf.Program) (*ebpf.Map, error) {
	info, err := program.Info()
	if err != nil {
		return nil, err
	}
	ids, ok := info.MapIDs()
	if !ok || len(ids) != 1 {
		return nil, nil
	}
	rules, err := ebpf.NewMapFromID(ids[0])
	if err != nil {
		return nil, err
	}
	if rules.Type() != ebpf.Hash || rules.KeySize() != 12 || rules.ValueSize() != 4 {
		_ = rules.Close()
		return nil, nil
	}
	return rules, nil
}

// newMap makes a hash map with twice the room the list needs. Entries take
// memory as they come. E2BIG beyond mostRoom, with the room counted.
func newMap(list deviceList) (*ebpf.Map, error) {
	if len(list) > mostRoom/2 {
		return nil, unix.E2BIG
	}
	// Needed by kernels before 5.11 only, where it lifts this process's limit.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	spec := &ebpf.MapSpec{
		Name: mapName, Type: ebpf.Hash, KeySize: 12, ValueSize: 4,
		MaxEntries: uint32(max(leastRoom, 2*len(list))), Flags: unix.BPF_F_NO_PREALLOC,
	}
	for key, rights := range list {
		spec.Contents = append(spec.Contents, ebpf.MapKV{Key: key, Value: rights})
	}
	return ebpf.NewMap(spec)
}
