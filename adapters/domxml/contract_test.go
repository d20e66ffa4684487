package domxml_test

import (
	"testing"

	"virtlxcd/adapters/domxml"
	"virtlxcd/domain/container"
	"virtlxcd/ports/porttest"
)

func TestContract(t *testing.T) {
	porttest.TestCodec(t, func(t *testing.T) porttest.CodecHarness {
		return porttest.CodecHarness{
			Codec: domxml.New(&sequence{}, domxml.Options{Arch: "x86_64", Emulator: "/usr/lib/libvirt/libvirt_lxc"}),
			Document: func(name string, uuid container.UUID, address bool) string {
				text := "<domain type='lxc'><name>" + name + "</name><memory>65536</memory>"
				if uuid != (container.UUID{}) {
					text += "<uuid>" + uuid.String() + "</uuid>"
				}
				text += "<os><type>exe</type><init>/sbin/init</init></os><devices><interface type='bridge'><source bridge='virbr0'/>"
				if address {
					text += "<mac address='52:54:00:00:00:01'/>"
				}
				return text + "</interface><console type='pty'/></devices></domain>"
			},
			Malformed: "<domain", Nameless: "<domain type='lxc'><os><type>exe</type></os></domain>",
		}
	})
}

// sequence never gives the same twice.
type sequence struct{ last byte }

func (s *sequence) NewUUID() (container.UUID, error) {
	s.last++
	return container.UUID{0: 1, 6: 0x40, 8: 0x80, 15: s.last}, nil
}

func (s *sequence) NewMAC() ([6]byte, error) {
	s.last++
	return [6]byte{0x52, 0x54, 0, 0, 1, s.last}, nil
}
