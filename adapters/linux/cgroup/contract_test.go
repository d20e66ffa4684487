package cgroup

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/domain/policy"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

func TestContract(t *testing.T) {
	porttest.TestCgroups(t, func(t *testing.T) porttest.CgroupsHarness {
		c := realHost(t)
		h := porttest.CgroupsHarness{Cgroups: c, Partition: "/vlxtest", Spawn: sleeper, Limits: limitsOf}
		for _, controller := range []string{"memory", "cpu", "cpuset", "pids"} {
			if _, ok := c.by[controller]; !ok {
				h.Missing = append(h.Missing, controller)
			}
		}
		return h
	})
}

// sleeper ends on the first signal. It does so by a handler: a signal whose
// default is to end a process reaches it in a frozen version 2 group too.
func sleeper(t *testing.T, group ports.Cgroup) porttest.Child {
	p := spawn(t, group.(*Group), "trap 'exit 0' TERM; echo ready; while read x; do :; done")
	require.Equal(t, "ready\n", p.line(t))
	ended := make(chan struct{})
	go func() {
		p.end()
		close(ended)
	}()
	end := func() {
		_ = p.Process.Kill()
		<-ended
	}
	t.Cleanup(end)
	return porttest.Child{PID: p.Process.Pid, Ended: ended, End: end}
}

// limitsOf reads back what the kernel has.
func limitsOf(t *testing.T, group ports.Cgroup) policy.Limits {
	g := group.(*Group)
	var found policy.Limits
	kib := func(path string) *uint64 {
		if value := readBytes(path); value < unlimited/2 {
			return ptr(value / 1024)
		}
		return nil
	}
	dir, version, _ := g.dir("memory")
	if version == 2 {
		found.MemoryHard, found.MemorySoft = kib(dir+"/memory.max"), kib(dir+"/memory.high")
		if swap := kib(dir + "/memory.swap.max"); swap != nil && found.MemoryHard != nil {
			found.SwapHard = ptr(*swap + *found.MemoryHard)
		}
	} else {
		found.MemoryHard, found.MemorySoft = kib(dir+"/memory.limit_in_bytes"), kib(dir+"/memory.soft_limit_in_bytes")
		found.SwapHard = kib(dir + "/memory.memsw.limit_in_bytes")
	}
	readProcessor(t, g, &found)
	if dir, _, ok := g.dir("pids"); ok {
		if n, err := strconv.ParseUint(value(t, dir+"/pids.max"), 10, 64); err == nil {
			found.PIDs = &n
		}
	}
	return found
}

func readProcessor(t *testing.T, g *Group, found *policy.Limits) {
	t.Helper()
	dir, version, ok := g.dir("cpu")
	if !ok {
		return
	}
	if version == 1 {
		found.CPUShares = ptr(number([]byte(value(t, dir+"/cpu.shares"))))
		found.CPUPeriod = ptr(number([]byte(value(t, dir+"/cpu.cfs_period_us"))))
		if n := number([]byte(value(t, dir+"/cpu.cfs_quota_us"))); n != 0 {
			found.CPUQuota = ptr(int64(n))
		}
		return
	}
	words := strings.Fields(value(t, dir+"/cpu.max"))
	found.CPUPeriod = ptr(number([]byte(words[1])))
	if words[0] != "max" {
		found.CPUQuota = ptr(int64(number([]byte(words[0]))))
	}
	// The inverse of weight.
	exponent := math.Log10(float64(number([]byte(value(t, dir+"/cpu.weight"))))) + 7.0/34
	found.CPUShares = ptr(uint64(math.Round(math.Exp2((math.Sqrt(125*125+4*612*exponent) - 125) / 2))))
}

func value(t *testing.T, path string) string {
	t.Helper()
	text, err := readValue(path)
	require.NoError(t, err)
	return text
}
