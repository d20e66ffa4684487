// Package usage holds counters read from the kernel, in the same units whatever
// version of cgroups(7) they come from.
package usage

// Usage is what a container uses or has used, with everything below its group.
// The counters are read one after another, so they are not of one moment. One
// that the host cannot give is 0; where 0 would be a lie, Has tells.
type Usage struct {
	CPU       uint64 // nanoseconds of all CPUs since the start
	CPUUser   uint64 // nanoseconds of CPU; the kernel may round to clock ticks
	CPUSystem uint64 // nanoseconds of CPU, as CPUUser
	Memory    uint64 // bytes now, page cache included
	Swap      uint64 // bytes now, without Memory
	HasSwap   bool   // the kernel counts swap
	PIDs      uint64 // tasks now, threads included
	OOMKills  uint64 // processes that the kernel killed for memory since the start
	Frozen    bool   // every process is, not only told to be
	Populated bool   // some process is left
}
