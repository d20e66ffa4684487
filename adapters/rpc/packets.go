package rpc

import (
	"sync"

	"virtlxcd/adapters/rpc/frame"
)

// packets are received packets that are done with; their payload buffers are used
// again. Between calls the pool may drop them.
var packets = sync.Pool{New: func() any { return new(frame.Packet) }}

// newPacket gives a packet to read into. What it held before means nothing.
func newPacket() *frame.Packet { return packets.Get().(*frame.Packet) }

// discard closes the packet's files and gives it back. Nobody may use it afterwards.
func discard(packet *frame.Packet) {
	packet.CloseFiles()
	if cap(packet.Payload) > keptBuffer {
		packet.Payload = nil
	}
	packets.Put(packet)
}
