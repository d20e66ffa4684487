package remote

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

// stub is an in-memory driver: containers that change state at once. It is its
// own connector and the connection of every client.
type stub struct {
	mu          sync.Mutex
	containers  []*container.Snapshot
	usage       usage.Usage
	metadata    string
	fail        error // what every method answers, if set
	calls       []string
	files       []string // names of the files of the last start
	options     ports.StartOptions
	asking      ports.Asking
	view        ports.View
	key         ports.MetadataKey
	validate    bool
	subscribers map[int]ports.Subscription
	next        int
	console     io.ReadWriteCloser
	namespaces  []*os.File
	callers     []access.Caller
	closed      int
}

func (s *stub) Connect(_ context.Context, caller access.Caller) (ports.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers = append(s.callers, caller)
	return s, s.fail
}

// settle orders what a test does to the stub and what a handler did, which else
// are ordered by the bytes of a socket only.
func (s *stub) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

// failure is what every method answers.
func (s *stub) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail
}

// note records a call and answers whether it has to fail.
func (s *stub) note(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
	return s.fail
}

func (s *stub) find(ref container.Ref) (*container.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	for _, c := range s.containers {
		switch {
		case ref.By == container.ByName && c.Name == ref.Name,
			ref.By == container.ByID && c.ID == ref.ID,
			(ref.By == container.ByUUID || ref.By == container.ByUUIDLookup) && c.UUID == ref.UUID:
			return c, nil
		}
	}
	switch ref.By {
	case container.ByName:
		return nil, fault.NoSuchName(ref.Name)
	case container.ByID:
		return nil, fault.NoSuchID(ref.ID)
	case container.ByUUIDLookup:
		return nil, fault.NoSuchUUID(ref.UUID.String())
	}
	return nil, fault.Gone(ref.UUID.String(), ref.Name)
}

func (s *stub) act(verb string, ref container.Ref) error {
	if err := s.note("%s %s", verb, ref.Name); err != nil {
		return err
	}
	_, err := s.find(ref)
	return err
}

func (s *stub) start(ref container.Ref, options ports.StartOptions) (container.Identity, error) {
	found, err := s.find(ref)
	if err != nil {
		return container.Identity{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options, s.files = options, nil
	for _, file := range options.Files {
		s.files = append(s.files, file.Name())
	}
	return found.Identity, nil
}

func (s *stub) Lookup(_ context.Context, ref container.Ref) (*container.Snapshot, error) {
	return s.find(ref)
}

func (s *stub) List(_ context.Context, filter container.Filter) ([]*container.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if filter == (container.Filter{}) {
		return s.containers, s.fail
	}
	return slices.DeleteFunc(slices.Clone(s.containers), func(c *container.Snapshot) bool {
		return !filter.Match(c)
	}), s.fail
}

func (s *stub) Define(_ context.Context, document string, validate bool) (container.Identity, error) {
	s.settle()
	s.validate = validate
	return s.containers[0].Identity, s.note("define %s", document)
}

func (s *stub) Undefine(_ context.Context, ref container.Ref) error { return s.act("undefine", ref) }

func (s *stub) Definition(_ context.Context, ref container.Ref, view ports.View) (string, error) {
	s.settle()
	s.view = view
	return "<domain/>\n", s.act("definition", ref)
}

func (s *stub) Autostart(_ context.Context, ref container.Ref) (bool, error) {
	c, err := s.find(ref)
	return err == nil && c.Autostart, err
}

func (s *stub) SetAutostart(_ context.Context, ref container.Ref, on bool) error {
	return s.act(fmt.Sprintf("autostart %v", on), ref)
}

func (s *stub) Metadata(_ context.Context, ref container.Ref, which ports.MetadataKey) (string, error) {
	s.settle()
	s.key = which
	return s.metadata, s.act("metadata", ref)
}

func (s *stub) SetMetadata(_ context.Context, ref container.Ref, which ports.MetadataKey, text *string) error {
	s.settle()
	s.key, s.metadata = which, ""
	if text != nil {
		s.metadata = *text
	}
	return s.act("set metadata", ref)
}

func (s *stub) Create(_ context.Context, document string, options ports.StartOptions) (container.Identity, error) {
	if err := s.note("create %s", document); err != nil {
		return container.Identity{}, err
	}
	return s.start(container.Ref{UUID: s.containers[0].UUID}, options)
}

func (s *stub) Start(_ context.Context, ref container.Ref, options ports.StartOptions) (container.Identity, error) {
	if err := s.note("start %s", ref.Name); err != nil {
		return container.Identity{}, err
	}
	return s.start(ref, options)
}

func (s *stub) Suspend(_ context.Context, ref container.Ref) error { return s.act("suspend", ref) }
func (s *stub) Resume(_ context.Context, ref container.Ref) error  { return s.act("resume", ref) }
func (s *stub) Destroy(_ context.Context, ref container.Ref) error { return s.act("destroy", ref) }

func (s *stub) Shutdown(_ context.Context, ref container.Ref, how ports.Asking) error {
	s.settle()
	s.asking = how
	return s.act("shutdown", ref)
}

func (s *stub) Reboot(_ context.Context, ref container.Ref, how ports.Asking) error {
	s.settle()
	s.asking = how
	return s.act("reboot", ref)
}

func (s *stub) Signal(_ context.Context, ref container.Ref, pid int64, signum uint) error {
	return s.act(fmt.Sprintf("signal %d %d", pid, signum), ref)
}

func (s *stub) State(_ context.Context, ref container.Ref) (*container.Snapshot, error) {
	return s.find(ref)
}

func (s *stub) Info(_ context.Context, ref container.Ref) (*container.Snapshot, usage.Usage, error) {
	found, err := s.find(ref)
	return found, s.usage, err
}

func (s *stub) OpenConsole(_ context.Context, ref container.Ref, device string) (io.ReadWriteCloser, error) {
	return s.console, s.act("console "+device, ref)
}

func (s *stub) OpenNamespaces(_ context.Context, ref container.Ref) ([]*os.File, error) {
	return s.namespaces, s.act("namespaces", ref)
}

func (s *stub) Subscribe(_ context.Context, wish ports.Subscription) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if s.subscribers == nil {
		s.subscribers = map[int]ports.Subscription{}
	}
	number := s.next
	s.next++
	s.subscribers[number] = wish
	return number, nil
}

func (s *stub) Unsubscribe(_ context.Context, number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if _, ok := s.subscribers[number]; !ok {
		return fault.New(fault.InvalidArgument, fault.Wire, "no subscription %d", number)
	}
	delete(s.subscribers, number)
	return nil
}

// announce hands an event to everybody who asked for its kind.
func (s *stub) announce(event ports.Event) {
	s.mu.Lock()
	subscribers := make([]ports.Subscription, 0, len(s.subscribers))
	for _, number := range slices.Sorted(keys(s.subscribers)) {
		subscribers = append(subscribers, s.subscribers[number])
	}
	s.mu.Unlock()
	for _, subscriber := range subscribers {
		if subscriber.Kind == event.Kind {
			subscriber.Deliver(event)
		}
	}
}

func keys(m map[int]ports.Subscription) func(func(int) bool) {
	return func(yield func(int) bool) {
		for number := range m {
			if !yield(number) {
				return
			}
		}
	}
}

func (s *stub) PublicFacts(context.Context) (*host.Facts, error) {
	return &host.Facts{Hostname: "rpcbox", KernelRelease: "6.18.44-generic"}, s.failure()
}

func (s *stub) NodeFacts(context.Context) (*host.Facts, error) {
	return &host.Facts{
		Hostname: "rpcbox", Arch: "x86_64", KernelRelease: "6.18.44-generic",
		Memory: 9529556, CPUs: 2, MHz: 2596, Nodes: 1, Sockets: 1, Cores: 2, Threads: 1,
	}, s.failure()
}

// closings is how many connections were closed.
func (s *stub) closings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *stub) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// printer is the part of the codec that the handlers use.
type printer struct{ ports.Codec }

func (printer) Capabilities(facts *host.Facts) string {
	return "<capabilities arch='" + facts.Arch + "'/>\n"
}

func uuidOf(text string) container.UUID {
	uuid, err := container.ParseUUID(text)
	if err != nil {
		panic(err)
	}
	return uuid
}

const cap1UUID, cap2UUID = "11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"

// running is the container of the recordings, running under the id.
func running(id int) *container.Snapshot {
	definition := &container.Definition{Name: "cap1", UUID: uuidOf(cap1UUID), Memory: 65536, CurrentMemory: 65536, VCPUs: 1, OnlineVCPUs: 1}
	return &container.Snapshot{
		Identity: container.Identity{Name: "cap1", UUID: uuidOf(cap1UUID), ID: id},
		State:    lifecycle.Running, Reason: lifecycle.Booted, Persistent: true,
		Config: definition, Live: definition, InitPID: 4711,
	}
}

func stopped(name, uuid string) *container.Snapshot {
	definition := &container.Definition{Name: name, UUID: uuidOf(uuid), Memory: 65536, CurrentMemory: 32768, VCPUs: 3, OnlineVCPUs: 2}
	return &container.Snapshot{
		Identity: container.Identity{Name: name, UUID: uuidOf(uuid), ID: container.NoID},
		Config:   definition, Persistent: true,
	}
}
