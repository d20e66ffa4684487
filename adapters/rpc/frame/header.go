// Package frame cuts the byte stream of a connection into packets and puts
// packets together: a length, a header, a payload, and descriptors passed
// beside the bytes. What the payload means is the business of protocol.
package frame

import (
	"encoding/binary"

	"virtlxcd/domain/fault"
)

// Sizes of the transport, in bytes unless said otherwise. A packet's length
// counts its own four bytes.
// The numbers are those of virnetprotocol.x, which libvirt's clients are built with.
const (
	LengthSize = 4
	HeaderSize = LengthSize + 24 // the smallest packet
	// MaxPacket is the largest length a packet may announce.
	MaxPacket = LengthSize + 33554432
	// MaxPayload is what a packet without descriptors has room for.
	MaxPayload = MaxPacket - HeaderSize
	// MaxStreamData is the most that peers put into one packet of a stream.
	MaxStreamData = 262120
	// MaxFDs is the number of descriptors one packet may bring.
	MaxFDs = 32
)

// Type is what a packet is.
// It is virNetMessageType.
type Type int32

// The types. Numbers beyond them reach the reader's caller, who drops them.
const (
	Call         Type = 0
	Reply        Type = 1
	Message      Type = 2 // an event, or a keepalive packet
	Stream       Type = 3
	CallWithFDs  Type = 4
	ReplyWithFDs Type = 5
	StreamHole   Type = 6
)

// HasFDs tells whether a count of descriptors follows the header.
func (t Type) HasFDs() bool { return t == CallWithFDs || t == ReplyWithFDs }

// Status qualifies a type.
// It is virNetMessageStatus.
type Status int32

// The statuses.
const (
	OK       Status = 0
	Error    Status = 1
	Continue Status = 2
)

// What ends a connection. After any of them it is not known where the next
// packet begins.
var (
	// ErrLength: a length that no packet can have.
	ErrLength = fault.New(fault.InvalidArgument, fault.Wire, "packet length out of range")
	// ErrFDs: descriptors were announced and did not come as they must.
	ErrFDs = fault.New(fault.InvalidArgument, fault.Wire, "passed descriptors missing or too many")
	// ErrSlow: a packet was begun and not finished in time.
	ErrSlow = fault.New(fault.Timeout, fault.Wire, "packet not finished in time")
)

// Header says whom a packet is for and what it is.
type Header struct {
	Program   uint32
	Version   uint32
	Procedure int32
	Type      Type
	Serial    uint32
	Status    Status
}

// AppendHeader appends the first HeaderSize bytes of a packet, the length among
// them as 0. Finish puts it right.
func AppendHeader(b []byte, h Header) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, h.Program)
	b = binary.BigEndian.AppendUint32(b, h.Version)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Procedure))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Type))
	b = binary.BigEndian.AppendUint32(b, h.Serial)
	return binary.BigEndian.AppendUint32(b, uint32(h.Status))
}

// AppendHeaderFDs is AppendHeader for the types that bring n descriptors.
func AppendHeaderFDs(b []byte, h Header, n int) []byte {
	return binary.BigEndian.AppendUint32(AppendHeader(b, h), uint32(n))
}

// Finish writes the length of a packet that begins with AppendHeader's bytes and
// ends where packet ends. ErrLength if it is too long to be sent.
func Finish(packet []byte) error {
	if len(packet) < HeaderSize || len(packet) > MaxPacket {
		return ErrLength
	}
	setLength(packet, len(packet))
	return nil
}

// setLength writes the first four bytes.
func setLength(head []byte, n int) { binary.BigEndian.PutUint32(head, uint32(n)) }

// ParseHeader reads the header from the first HeaderSize bytes of a packet; b
// must not be shorter.
func ParseHeader(b []byte) Header {
	b = b[LengthSize:HeaderSize]
	return Header{
		Program:   binary.BigEndian.Uint32(b),
		Version:   binary.BigEndian.Uint32(b[4:]),
		Procedure: int32(binary.BigEndian.Uint32(b[8:])),
		Type:      Type(binary.BigEndian.Uint32(b[12:])),
		Serial:    binary.BigEndian.Uint32(b[16:]),
		Status:    Status(binary.BigEndian.Uint32(b[20:])),
	}
}
