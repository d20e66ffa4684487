// Package usage holds counters read from the kernel.
package usage

// Usage is what a container has used. A counter the host cannot give is absent
// by its Has field.
type Usage struct {
	CPU       uint64 // nanoseconds of all CPUs since the start
	CPUUser   uint64 // nanoseconds
	CPUSystem uint64 // nanoseconds
	Memory    uint64 // bytes now
	Swap      uint64 // bytes now
	HasSwap   bool
	PIDs      uint64
	OOMKills  uint64
	Frozen    bool
	Populated bool // some process is left
}
