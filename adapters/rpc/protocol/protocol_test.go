package protocol_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/capture"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

var programs = []uint32{protocol.Program, protocol.LxcProgram, protocol.QemuProgram, protocol.AdminProgram}

// creators makes every message there is.
func creators() []func() protocol.Message {
	all := []func() protocol.Message{
		func() protocol.Message { return new(protocol.Error) },
		func() protocol.Message { return new(protocol.StreamHole) },
	}
	for _, program := range programs {
		for _, p := range protocol.Procedures(program) {
			for _, create := range []func() protocol.Message{p.Args, p.Ret, p.Event} {
				if create != nil {
					all = append(all, create)
				}
			}
		}
	}
	return all
}

// fill sets every field below v to something.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), r)
		}
	case reflect.Struct:
		if p, ok := v.Addr().Interface().(*protocol.TypedParam); ok {
			*p = anyParam(r)
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString(strings.Repeat("s", r.IntN(9)))
	default:
		number := reflect.ValueOf(r.Uint64())
		v.Set(number.Convert(v.Type()))
	}
}

func anyParam(r *rand.Rand) protocol.TypedParam {
	n := r.Uint64()
	return []protocol.TypedParam{
		protocol.IntParam("a", int32(n)), protocol.UintParam("bb", uint32(n)), protocol.LLongParam("ccc", int64(n)),
		protocol.ULLongParam("dddd", n), protocol.DoubleParam("eeeee", math.Float64frombits(n)),
		protocol.BooleanParam("f", n&1 == 1), protocol.StringParam("g", fmt.Sprint(n)),
	}[r.IntN(7)]
}

func TestEveryMessageSurvives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := creators()
	require.Greater(t, len(all), 600)
	for _, create := range all {
		for range 20 {
			m, again := create(), create()
			fill(reflect.ValueOf(m).Elem(), r)
			b, err := m.AppendXDR([]byte("before"))
			require.NoError(t, err)
			require.Equal(t, "before", string(b[:6]))
			require.Zero(t, len(b[6:])%4, "%T", m)
			d := xdr.NewDecoder(b[6:])
			require.NoError(t, again.DecodeXDR(d), "%T", m)
			require.Zero(t, d.Remaining(), "%T", m)
			require.Equal(t, m, again)
		}
	}
}

// TestEveryCutMessageFails decodes every message with its end missing.
func TestEveryCutMessageFails(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, create := range creators() {
		m := create()
		fill(reflect.ValueOf(m).Elem(), r)
		b, err := m.AppendXDR(nil)
		require.NoError(t, err)
		for n := 0; n < len(b); n += 4 {
			require.Error(t, create().DecodeXDR(xdr.NewDecoder(b[:n])), "%T cut to %d of %d", m, n, len(b))
		}
	}
}

func TestMaximaHoldBothWays(t *testing.T) {
	long := strings.Repeat("x", protocol.StringMax+1)
	tooLong := []protocol.Message{
		&protocol.DomainLookupByNameArgs{Name: long},
		&protocol.ConnectOpenArgs{Name: &long},
		&protocol.ConnectListAllDomainsRet{Domains: make([]protocol.Domain, protocol.DomainListMax+1)},
		&protocol.ConnectListDomainsRet{Ids: make([]int32, protocol.DomainListMax+1)},
		&protocol.NodeGetSecurityModelRet{Model: make([]byte, protocol.SecurityModelMax+1)},
		&protocol.DomainPinVcpuArgs{Cpumap: make([]byte, protocol.CpumapMax+1)},
		&protocol.DomainSetMemoryParametersArgs{Params: []protocol.TypedParam{protocol.StringParam("x", long)}},
	}
	for _, m := range tooLong {
		_, err := m.AppendXDR(nil)
		assert.ErrorIs(t, err, xdr.ErrTooLong, "%T", m)
	}
	count := xdr.AppendUint32(nil, protocol.DomainListMax+1)
	padded := append(count, make([]byte, 24*(protocol.DomainListMax+1))...)
	var m protocol.ConnectListAllDomainsRet
	assert.ErrorIs(t, m.DecodeXDR(xdr.NewDecoder(padded)), xdr.ErrTooLong)
	assert.Nil(t, m.Domains)
}

func TestCountBeyondTheDataAllocatesNothing(t *testing.T) {
	b := append(xdr.AppendUint32(nil, protocol.DomainListMax), make([]byte, 24*(protocol.DomainListMax-1))...)
	var m protocol.ConnectListAllDomainsRet
	assert.ErrorIs(t, m.DecodeXDR(xdr.NewDecoder(b)), xdr.ErrShort)
	assert.Nil(t, m.Domains)
}

func TestTypedParams(t *testing.T) {
	cases := []struct {
		p    protocol.TypedParam
		wire string
		get  func(p *protocol.TypedParam) any
		want any
	}{
		{protocol.IntParam("ab", -2), "00000002 61620000 00000001 fffffffe", func(p *protocol.TypedParam) any { return p.Int() }, int32(-2)},
		{protocol.UintParam("ab", 3), "00000002 61620000 00000002 00000003", func(p *protocol.TypedParam) any { return p.Uint() }, uint32(3)},
		{protocol.LLongParam("ab", -1), "00000002 61620000 00000003 ffffffff ffffffff", func(p *protocol.TypedParam) any { return p.LLong() }, int64(-1)},
		{protocol.ULLongParam("ab", 1), "00000002 61620000 00000004 00000000 00000001", func(p *protocol.TypedParam) any { return p.ULLong() }, uint64(1)},
		{protocol.DoubleParam("ab", 1.5), "00000002 61620000 00000005 3ff80000 00000000", func(p *protocol.TypedParam) any { return p.Double() }, 1.5},
		{protocol.BooleanParam("ab", true), "00000002 61620000 00000006 00000001", func(p *protocol.TypedParam) any { return p.Boolean() }, true},
		{protocol.StringParam("ab", "c"), "00000002 61620000 00000007 00000001 63000000", func(p *protocol.TypedParam) any { return p.Text() }, "c"},
	}
	for _, c := range cases {
		b, err := c.p.AppendXDR(nil)
		require.NoError(t, err)
		assert.Equal(t, strings.ReplaceAll(c.wire, " ", ""), fmt.Sprintf("%x", b))
		var again protocol.TypedParam
		require.NoError(t, again.DecodeXDR(xdr.NewDecoder(b)))
		assert.Equal(t, c.want, c.get(&again))
	}
	_, err := (&protocol.TypedParam{Type: 8}).AppendXDR(nil)
	assert.ErrorIs(t, err, xdr.ErrUnion)
	bad := []byte{0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	assert.ErrorIs(t, new(protocol.TypedParam).DecodeXDR(xdr.NewDecoder(bad)), xdr.ErrUnion)
}

// FuzzMessages decodes what a hostile peer may send as every message; what
// decodes must survive being encoded and decoded again.
func FuzzMessages(f *testing.F) {
	all := creators()
	for which, create := range all {
		b, err := create().AppendXDR(nil)
		require.NoError(f, err)
		f.Add(uint16(which), b)
	}
	for _, name := range capture.Names() {
		e, err := capture.Load(name)
		require.NoError(f, err)
		packets, _ := e.Packets()
		for i, p := range packets {
			if len(p.Bytes) > 28 && len(p.Bytes) < 4096 {
				f.Add(uint16(i), p.Bytes[28:])
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint16, data []byte) {
		create := all[int(which)%len(all)]
		m := create()
		if m.DecodeXDR(xdr.NewDecoder(data)) != nil {
			return
		}
		b, err := m.AppendXDR(nil)
		require.NoError(t, err)
		again := create()
		require.NoError(t, again.DecodeXDR(xdr.NewDecoder(b)))
		require.Equal(t, m, again)
		twice, err := again.AppendXDR(nil)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, twice))
	})
}

func thousand() *protocol.ConnectListAllDomainsRet {
	m := &protocol.ConnectListAllDomainsRet{Ret: 1000}
	for i := range 1000 {
		m.Domains = append(m.Domains, protocol.Domain{Name: fmt.Sprintf("container-%04d", i), ID: int32(i)})
	}
	return m
}

func BenchmarkEncodeThousandDomains(b *testing.B) {
	m := thousand()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendXDR(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkEncodeThousandDomainsFresh(b *testing.B) {
	m := thousand()
	b.ReportAllocs()
	for b.Loop() {
		m.AppendXDR(nil)
	}
}

func BenchmarkDecodeThousandDomains(b *testing.B) {
	buf, _ := thousand().AppendXDR(nil)
	b.ReportAllocs()
	var m protocol.ConnectListAllDomainsRet
	for b.Loop() {
		m.DecodeXDR(xdr.NewDecoder(buf))
	}
}

func BenchmarkEncodeGetInfo(b *testing.B) {
	m := protocol.DomainGetInfoRet{State: 1, MaxMem: 1 << 20, Memory: 1 << 20, NrVirtCPU: 1, CPUTime: 1 << 40}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendXDR(buf[:0])
	}
}

func BenchmarkDecodeDomainArgs(b *testing.B) {
	buf, _ := (&protocol.DomainGetInfoArgs{Dom: protocol.Domain{Name: "container-0001"}}).AppendXDR(nil)
	var d xdr.Decoder
	var m protocol.DomainGetInfoArgs
	b.ReportAllocs()
	for b.Loop() {
		d.Reset(buf)
		m.DecodeXDR(&d)
	}
}
