package fakes

import (
	"context"
	"encoding/binary"

	"virtlxcd/domain/container"
)

// Entropy counts instead of being random. One count is for all that is drawn and for
// the life of the Host, boots included, so a test gets the same values in each run:
// 00000000-0000-4000-8000-000000000001, then perhaps 52:54:00:00:00:02.
type Entropy struct{ host *Host }

// NewEntropy returns the host's source of unique values.
func NewEntropy(host *Host) *Entropy { return &Entropy{host} }

// NewUUID returns the next UUID.
func (e *Entropy) NewUUID() (uuid container.UUID, err error) {
	err = e.host.do(context.Background(), "Entropy.NewUUID", func() error {
		uuid = e.host.nextUUID()
		return nil
	})
	return uuid, err
}

// nextUUID is of version 4 and variant 1 (RFC 9562), with the count where chance would
// be.
func (h *Host) nextUUID() container.UUID {
	h.entropy++
	uuid := container.UUID{6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(uuid[12:], h.entropy)
	return uuid
}

// NewMAC returns the next address. Its three low bytes are the count, so addresses
// repeat after 1<<24 draws.
func (e *Entropy) NewMAC() (mac [6]byte, err error) {
	err = e.host.do(context.Background(), "Entropy.NewMAC", func() error {
		e.host.entropy++
		mac = [6]byte{0x52, 0x54, 0, byte(e.host.entropy >> 16), byte(e.host.entropy >> 8), byte(e.host.entropy)}
		return nil
	})
	return mac, err
}
