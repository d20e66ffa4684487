package cgroup

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

const (
	// programName is how our program is told from others on the group, also
	// after the daemon has started anew. The kernel keeps 15 characters.
	programName = "virtlxc_devices"
	mapName     = "virtlxc_devlist"

	// leastRoom is the least number of entries a map is made for. Room beyond
	// what is needed lets hot-plug work by an update of the map.
	leastRoom = 64
	mostRoom  = 64 << 10
)

// allowByProgram brings the list of the program on a version 2 group to the
// wished state. It keeps nothing in the daemon: the program is found on the
// group, its map through the program.
func allowByProgram(dir string, list deviceList, fresh bool) error {
	fd, err := openAt(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return failed(err, "unable to open control group '%s'", dir)
	}
	defer unix.Close(fd)
	var attached *ebpf.Program
	if !fresh {
		if attached, err = findProgram(fd); err != nil {
			return failed(err, "unable to find the device program of '%s'", dir)
		}
	}
	if attached != nil {
		defer attached.Close()
		done, err := updateMap(attached, list)
		if err != nil {
			return failed(err, "unable to change the device list of '%s'", dir)
		}
		if done {
			return nil
		}
	}
	if err := attachProgram(fd, list, attached); err != nil {
		return failed(err, "unable to attach a device program to '%s'", dir)
	}
	return nil
}

// findProgram returns our program on the group, nil if there is none. The
// caller closes it.
func findProgram(fd int) (*ebpf.Program, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: fd, Attach: ebpf.AttachCGroupDevice})
	if err != nil {
		return nil, err
	}
	for _, attached := range result.Programs {
		program, err := ebpf.NewProgramFromID(attached.ID)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info, err := program.Info(); err == nil && info.Name == programName {
			return program, nil
		}
		_ = program.Close()
	}
	return nil, nil
}

// updateMap changes the map of an attached program: what is new first, so that
// nothing allowed by both lists is ever refused. False: the map has no room.
func updateMap(program *ebpf.Program, list deviceList) (bool, error) {
	rules, err := programMap(program)
	if err != nil || rules == nil {
		return false, err
	}
	defer rules.Close()
	var (
		key    deviceKey
		rights uint32
		old    []deviceKey
	)
	for entries := rules.Iterate(); entries.Next(&key, &rights); {
		if _, ok := list[key]; !ok {
			old = append(old, key)
		}
	}
	if uint32(len(list)+len(old)) > rules.MaxEntries() {
		return false, nil
	}
	for key, rights := range list {
		if err := rules.Put(key, rights); err != nil {
			return false, err
		}
	}
	for _, key := range old {
		if err := rules.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return false, err
		}
	}
	return true, nil
}

// programMap opens the map our program looks into, nil if it is not as we make
// it today: then a new program takes the place of the old one.
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

// attachProgram loads a program with its list and attaches it, in one step in
// place of the one before if there is one. The group keeps both alive from then
// on; we need no descriptor.
func attachProgram(fd int, list deviceList, before *ebpf.Program) error {
	rules, err := newMap(list)
	if err != nil {
		return err
	}
	defer rules.Close()
	program, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
		Name:         programName,
		Type:         ebpf.CGroupDevice,
		AttachType:   ebpf.AttachCGroupDevice,
		Instructions: deviceProgram(rules.FD()),
		License:      "Apache-2.0",
	}, ebpf.ProgramOptions{LogDisabled: true})
	if err != nil {
		return err
	}
	defer program.Close()
	options := link.RawAttachProgramOptions{
		Target: fd, Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	}
	if before != nil {
		options.Anchor = link.ReplaceProgram(before)
	}
	return link.RawAttachProgram(options)
}

// newMap makes a hash map with twice the room the list needs. Entries take
// memory as they come.
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

// deviceProgram answers 1 if all requested rights are in the entries for the
// device, for its major with any minor, its minor with any major, and any.
//
//	R6 context  R7 rights found  stack -12: the key (type, major, minor)
func deviceProgram(rules int) asm.Instructions {
	const key, major, minor = -12, -8, -4
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R7, 0),
		asm.LoadMem(asm.R1, asm.R6, 0, asm.Word),
		asm.And.Imm(asm.R1, 0xffff),
		asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
	}
	for i, any := range []struct{ major, minor bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		program = append(program, loadNumber(any.major, 4, major)...)
		program = append(program, loadNumber(any.minor, 8, minor)...)
		program = append(program, lookUp(rules, key, "next"+string(rune('0'+i)))...)
	}
	return append(program,
		// Rights asked for and not found, by the shift free of the type.
		asm.LoadMem(asm.R1, asm.R6, 0, asm.Word),
		asm.RSh.Imm(asm.R1, 16),
		asm.Xor.Imm(asm.R7, -1),
		asm.And.Reg(asm.R1, asm.R7),
		asm.Mov.Imm(asm.R0, 1),
		asm.JEq.Imm(asm.R1, 0, "end"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return().WithSymbol("end"),
	)
}

// loadNumber puts a number of the request, or "any", into the key.
func loadNumber(any bool, from, to int16) asm.Instructions {
	if any {
		return asm.Instructions{asm.StoreImm(asm.RFP, to, -1, asm.Word)}
	}
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R6, from, asm.Word),
		asm.StoreMem(asm.RFP, to, asm.R1, asm.Word),
	}
}

// lookUp adds the rights of the key on the stack to R7. The label names the
// instruction after it.
func lookUp(rules int, key int32, label string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, rules),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, label),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.Or.Reg(asm.R7, asm.R0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol(label),
	}
}
