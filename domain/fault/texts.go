package fault

// The texts below are part of the interface: clients and their test suites
// compare them, so they are spelled once, here, the way clients know them.

// NotRunning says that the call needs a running container.
func NotRunning() *Error { return New(WrongState, API, "domain is not running") }

// AlreadyRunning says that the container runs already.
func AlreadyRunning() *Error { return New(WrongState, Driver, "Domain is already running") }

// AlreadyActive says that a container of this name runs, so none can be created.
func AlreadyActive(name string) *Error {
	return New(WrongState, API, "domain '%s' is already active", name)
}

// NotPaused says that resume found a container that is not paused.
func NotPaused() *Error { return New(WrongState, Driver, "domain is already running") }

// NoPersistent says that a transient container has no stored definition.
func NoPersistent() *Error {
	return New(WrongState, API, "transient domains do not have any persistent config")
}

// UndefineTransient refuses to undefine a transient container.
func UndefineTransient() *Error {
	return New(WrongState, Driver, "Cannot undefine transient domain")
}

// AutostartTransient refuses autostart for a transient container.
func AutostartTransient() *Error {
	return New(WrongState, Driver, "Cannot set autostart for transient domain")
}

// NoSuchID, NoSuchName and NoSuchUUID are the answers of the three lookups.
func NoSuchID(id int) *Error {
	return New(NotFound, Driver, "No domain with matching id %d", id)
}

// NoSuchName: see NoSuchID.
func NoSuchName(name string) *Error {
	return New(NotFound, Driver, "No domain with matching name '%s'", name)
}

// NoSuchUUID: see NoSuchID.
func NoSuchUUID(uuid string) *Error {
	return New(NotFound, Driver, "No domain with matching uuid '%s'", uuid)
}

// Gone is the answer of every other call for a container that is not known.
func Gone(uuid, name string) *Error {
	return New(NotFound, Driver, "no domain with matching uuid '%s' (%s)", uuid, name)
}

// NameTaken: the name belongs to a container with another uuid.
func NameTaken(name, uuid string) *Error {
	return New(Failed, API, "domain '%s' already exists with uuid %s", name, uuid)
}

// UUIDTaken: the uuid belongs to a container of another name.
func UUIDTaken(name, uuid string) *Error {
	return New(Failed, API, "domain '%s' is already defined with uuid %s", name, uuid)
}

// JobTimeout: another change held the container for too long.
func JobTimeout(holder string) *Error {
	return New(Timeout, Host, "cannot acquire state change lock (held by monitor=%s)", holder)
}

// Denied: the access check said no.
func Denied(driver string) *Error {
	return New(AccessDenied, Access, "'%s' denied access", driver)
}

// ReadOnlyCall: the connection may only read.
func ReadOnlyCall(function string) *Error {
	return New(ReadOnly, API, "read only access prevents %s", function)
}
