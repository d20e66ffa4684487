package device_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/domain/device"
)

// TestDefaultPrefix has the first and the last address of each class.
func TestDefaultPrefix(t *testing.T) {
	for text, bits := range map[string]int{
		"0.0.0.0": 8, "10.0.0.1": 8, "127.255.255.255": 8,
		"128.0.0.0": 16, "172.16.0.1": 16, "191.255.255.255": 16,
		"192.0.0.0": 24, "192.168.0.1": 24, "223.255.255.255": 24, "224.0.0.1": 24, "255.255.255.255": 24,
		"::": 64, "fd00::1": 64, "fe80::1%eth0": 64,
		"::ffff:10.0.0.1": 64, // written as IPv6, so it is one
	} {
		assert.Equal(t, bits, device.DefaultPrefix(netip.MustParseAddr(text)), text)
	}
}
