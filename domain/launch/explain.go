package launch

import (
	"errors"
	"io/fs"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch/step"
)

// Explain turns the failure of one operation into a fault that names the object
// as the user wrote it. err keeps the errno. An index that no operation has means
// that the process could not be made or died between operations. Kind System, but
// Internal for a user or group that the container does not have, as the original
// has it.
func (p *Plan) Explain(entered bool, index int, err error, interpreter bool) error {
	list := p.Prepare
	if entered {
		list = p.Enter
	}
	if index < 0 || index >= len(list) {
		return fault.Wrap(err, fault.System, "cannot start the container")
	}
	op := &list[index]
	switch op.Code {
	case step.Exec:
		return explainExec(op, err, interpreter)
	case step.OpenTree:
		return fault.Wrap(err, fault.System, "Failed to access '%s'", op.Subject)
	case step.Become:
		if errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Internal, fault.Driver, "user or group '%s' doesn't exist inside the container", op.Subject)
		}
	}
	return fault.Wrap(err, fault.System, "cannot %s '%s'", op.Code, op.Subject)
}

// explainExec: execve(2) says ENOENT for a missing program, for a missing #! or ELF
// interpreter, and for a path through a missing directory alike.
// Only the stage can tell them apart, which it does by looking for the program itself.
func explainExec(op *step.Op, err error, interpreter bool) error {
	switch {
	case interpreter:
		return fault.Wrap(err, fault.System, "the interpreter that init '%s' asks for is missing inside the container", op.Path)
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.System, "cannot find init path '%s' relative to container root", op.Path)
	}
	return fault.Wrap(err, fault.System, "cannot execute init '%s'", op.Path)
}
