package cgroup

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const (
	// programName is how our program is told from others on the group, also
	// after the daemon has started anew. The kernel keeps 15 characters.
	programName = "virtlxc_devices"
	mapName     = "virtlxc_devlist"

	// leastRoom is the least number of entries a map is made for. Room beyond
	// what is needed lets hot-plug work by an update of the map, for which the
	// program need not be verified anew.
	leastRoom = 64
	// mostRoom keeps a definition with very many devices from taking the kernel's
	// memory: 64 Ki entries are some megabytes.
	mostRoom = 64 << 10
)

// allowByProgram brings the list of the program on a version 2 group to the
// wished state. It keeps nothing in the daemon: the program is found on the
// group, its map through the program. fresh saves the search in a group that has
// none. A group without a program allows what its ancestors allow; programs of
// ancestors, the service manager's among them, are asked too and are left alone.
//
// Needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN (capabilities(7)), and a version 2 tree; System with the errno
// where the kernel refuses.
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
// caller closes it. Programs that go between the list and the look are passed over.
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

// attachProgram loads a program with its list and attaches it, in one step in
// place of the one before if there is one. The group keeps both alive from then
// on; we need no descriptor. Several programs may be on a group (BPF_F_ALLOW_MULTI)
// and all must allow a device, so adding one instead could only take rights away.
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
		// In one step: at no moment is the group without a list.
		options.Anchor = link.ReplaceProgram(before)
	}
	return link.RawAttachProgram(options)
}

// deviceProgram answers 1 if all requested rights are in the entries for the
// device, for its major with any minor, its minor with any major, and any.
//
//	R6 context  R7 rights found  stack -12: the key (type, major, minor)
//
// The context is struct bpf_cgroup_dev_ctx: access_type, which has the type in its
// lower and the rights asked for in its upper 16 bits, then major and minor. No right
// but those asked for is looked at, and all of them must be found: a rule for reading
// does not let somebody open for reading and writing.
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

// loadNumber puts a number of the request, or "any", into the key: from is where it is
// in the context, to where it goes on the stack. The offsets are those of struct
// bpf_cgroup_dev_ctx: major at 4, minor at 8.
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
// instruction after it. R7 keeps its value over the call of the helper, as R6 to R9 do.
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
