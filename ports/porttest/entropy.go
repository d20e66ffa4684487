package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// EntropyHarness is a source of what must be unique. Fakes count and the host draws, so
// checks only ask for what both can promise.
type EntropyHarness struct {
	Entropy ports.Entropy
	Missing []string
}

// TestEntropy checks an Entropy.
func TestEntropy(t *testing.T, build func(t *testing.T) EntropyHarness) {
	run(t, build, []check[EntropyHarness]{
		{"uuids are version 4 and differ", entropyUUIDs},
		{"addresses have the prefix and differ", entropyMACs},
	})
}

// entropyUUIDs: the version and the variant have fixed bits (RFC 9562), which a port
// that takes 16 random bytes as they are has only by chance. A hundred of them make it
// certain.
func entropyUUIDs(t *testing.T, h EntropyHarness) {
	seen := map[container.UUID]bool{}
	for range 100 {
		uuid, err := h.Entropy.NewUUID()
		require.NoError(t, err)
		assert.Equal(t, byte(0x40), uuid[6]&0xf0, "version of %s", uuid)
		assert.Equal(t, byte(0x80), uuid[8]&0xc0, "variant of %s", uuid)
		require.False(t, seen[uuid], "%s came twice", uuid)
		seen[uuid] = true
	}
}

// entropyMACs: 24 bits are random: among 20 addresses two are alike once in 88 000
// runs, so one collision is let pass. 52:54:00 is the prefix of addresses that virtual
// machines and containers draw, with the bit for "locally administered" set
// (formatdomain, interface). A port that draws from fewer bits, or begins anew with
// each call, shows more than one collision.
func entropyMACs(t *testing.T, h EntropyHarness) {
	seen := map[[6]byte]bool{}
	for range 20 {
		mac, err := h.Entropy.NewMAC()
		require.NoError(t, err)
		assert.Equal(t, []byte{0x52, 0x54, 0}, mac[:3])
		seen[mac] = true
	}
	assert.GreaterOrEqual(t, len(seen), 19)
}
