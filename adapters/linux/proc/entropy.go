package proc

import (
	"crypto/rand"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Entropy is the ports.Entropy of the kernel's random numbers (getrandom(2)). It holds
// nothing, may be used from any goroutine, and waits only while the host has just
// booted and has no randomness yet.
type Entropy struct{}

var _ ports.Entropy = Entropy{}

// NewEntropy returns the kernel's.
func NewEntropy() Entropy { return Entropy{} }

// NewUUID makes version 4, variant 1 (RFC 9562): 122 random bits, so that nobody has
// to look whether it is in use.
func (Entropy) NewUUID() (container.UUID, error) {
	var uuid container.UUID
	if _, err := rand.Read(uuid[:]); err != nil {
		return container.UUID{}, fault.Wrap(err, fault.System, "cannot make a uuid")
	}
	uuid[6] = uuid[6]&0x0f | 0x40
	uuid[8] = uuid[8]&0x3f | 0x80
	return uuid, nil
}

// NewMAC uses the prefix that virtual machines of this interface have, 52:54:00, which
// is that of locally administered addresses. The other 24 bits are random: on one
// bridge two may meet, which is for whoever knows the others to find.
func (Entropy) NewMAC() ([6]byte, error) {
	mac := [6]byte{0x52, 0x54, 0x00}
	if _, err := rand.Read(mac[3:]); err != nil {
		return [6]byte{}, fault.Wrap(err, fault.System, "cannot make a hardware address")
	}
	return mac, nil
}
