package domxml

import (
	"slices"
	"strings"
)

// others stands in an order for every element that it does not name.
const others = "*"

// orders says in which order children are printed, by the path of their
// parent, as libvirt's driver prints them: clients that edit documents as text
// rely on it. Elements that are not named come last, or where others stands.
var orders = map[string]map[string]int{
	"domain": rank(`name uuid genid title description metadata maxMemory memory currentMemory blkiotune memtune
		memoryBacking vcpu vcpus iothreads iothreadids cputune numatune resource sysinfo bootloader bootloader_args os
		idmap features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf devices seclabel keywrap
		launchSecurity * lxc:namespace`),
	"domain/blkiotune":        rank("weight device"),
	"domain/blkiotune/device": rank("path weight read_iops_sec write_iops_sec read_bytes_sec write_bytes_sec"),
	"domain/memtune":          rank("hard_limit soft_limit min_guarantee swap_hard_limit"),
	"domain/cputune": rank(`shares period quota global_period global_quota emulator_period emulator_quota
		iothread_period iothread_quota vcpupin emulatorpin iothreadpin`),
	"domain/numatune": rank("memory memnode"),
	"domain/resource": rank("partition fibrechannel"),
	"domain/os":       rank("type init initarg initenv initdir inituser initgroup loader nvram kernel initrd cmdline"),
	"domain/idmap":    rank("uid gid"),
	"domain/features": rank(featureNames),
	"domain/devices": rank(`emulator disk controller lease filesystem interface smartcard serial parallel console channel
		input tpm graphics sound audio video hostdev redirdev redirfilter hub watchdog memballoon rng nvram panic shmem
		memory iommu vsock`),
	"domain/devices/disk": rank(`driver auth source backingStore geometry blockio mirror target iotune readonly shareable
		transient serial wwn vendor product encryption boot * alias address`),
	"domain/devices/filesystem": rank(`driver binary source target readonly space_hard_limit space_soft_limit
		* alias address`),
	"domain/devices/interface": rank(`mac source vlan virtualport bandwidth port ip route script target guest model
		driver backend filterref tune teaming link mtu coalesce boot rom acpi * alias address`),
	"domain/devices/interface/source": rank("address ip route"),
	"domain/devices/serial":           rank(characterOrder),
	"domain/devices/parallel":         rank(characterOrder),
	"domain/devices/console":          rank(characterOrder),
	"domain/devices/channel":          rank(characterOrder),
	"domain/devices/hostdev":          rank("source ip route boot rom * alias address"),
}

// characterOrder is that of all character devices.
const characterOrder = "source protocol log target * alias address"

// featureNames are the features that exist, in printing order.
// Reading refuses any other, so a new one has to be added here first.
const featureNames = `acpi apic pae hap viridian privnet hyperv kvm pvspinlock capabilities pmu vmport gic smm ioapic hpt
	vmcoreinfo htm nested-hv msrs ccf-assist xen cfpc sbbc ibs tcg async-teardown ras ps2 aia`

// attributeOrders is the same for attributes, by the name of the element. Those
// of other elements stay in the order they came in, or in which the writer set
// them.
var attributeOrders = map[string]map[string]int{
	"vcpu":       rank("placement cpuset current *"),
	"memory":     rank("dumpCore mode unit *"),
	"disk":       rank("type device *"),
	"controller": rank("type index model *"),
	"hostdev":    rank("mode type managed *"),
	"seclabel":   rank("type model relabel *"),
	"clock":      rank("offset adjustment basis *"),
	"console":    rank("type tty *"),
	"address":    rank("type domain controller bus target slot unit *"),
}

// rank numbers names in their order. Without others in it, those come last.
// Names are separated by blanks or line ends. No name should stand twice: the last
// place would count.
func rank(names string) map[string]int {
	ranks := map[string]int{}
	for i, name := range strings.Fields(names) {
		ranks[name] = i
	}
	if _, ok := ranks[others]; !ok {
		ranks[others] = len(ranks)
	}
	return ranks
}

// arrange brings n and what is below it into printing order. Equals keep
// their order, so arranging twice changes nothing. Below an element without an
// order of its own nothing is touched: what nobody here understands keeps the
// order its author gave it.
// path is that of n, from the root on: "domain/devices/disk". It is called for the whole
// tree before leftovers are collected and again before it is printed, and for each
// device that is an owner.
func (n *node) arrange(path string) {
	if ranks, ok := attributeOrders[n.name]; ok {
		slices.SortStableFunc(n.attrs, func(a, b attr) int { return place(ranks, a.name) - place(ranks, b.name) })
	}
	if path == "domain/features/capabilities" {
		slices.SortStableFunc(n.kids, func(a, b *node) int { return strings.Compare(a.name, b.name) })
		return
	}
	if ranks, ok := orders[path]; ok {
		slices.SortStableFunc(n.kids, func(a, b *node) int { return kidPlace(ranks, a) - kidPlace(ranks, b) })
	} else if strings.Count(path, "/") > 1 {
		return
	}
	for _, kid := range n.kids {
		if kid.kind == element {
			kid.arrange(path + "/" + kid.name)
		}
	}
}

// place is the rank of a name, known or not.
// Names that are not known share a rank and so keep their order among themselves.
func place(ranks map[string]int, name string) int {
	if at, ok := ranks[name]; ok {
		return at
	}
	return ranks[others]
}

// kidPlace knows foreign elements by their namespace: only one has a place.
// Comments and text go where the others do.
func kidPlace(ranks map[string]int, n *node) int {
	if n.kind != element || n.space != "" && !n.sharing() {
		return ranks[others]
	}
	return place(ranks, n.name)
}
