package remote

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

func TestMetadata(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	text, uri, key := "<a/>", "urn:a", "a"
	p.must(protocol.ProcDomainSetMetadata, &protocol.DomainSetMetadataArgs{
		Dom: cap1, Type: 2, Metadata: &text, Key: &key, URI: &uri, Flags: 3,
	}, nil)
	assert.Equal(t, ports.MetadataKey{Kind: ports.Element, Namespace: uri, Prefix: key, Live: true, Persistent: true}, driver.key)
	var got protocol.DomainGetMetadataRet
	p.must(protocol.ProcDomainGetMetadata, &protocol.DomainGetMetadataArgs{Dom: cap1, Type: 2, URI: &uri, Flags: 2}, &got)
	assert.Equal(t, "<a/>", got.Metadata)
	assert.Equal(t, ports.MetadataKey{Kind: ports.Element, Namespace: uri, Persistent: true}, driver.key)

	p.must(protocol.ProcDomainSetMetadata, &protocol.DomainSetMetadataArgs{Dom: cap1, Type: 2, URI: &uri}, nil)
	assert.Empty(t, driver.metadata)
	p.must(protocol.ProcDomainSetMetadata, &protocol.DomainSetMetadataArgs{Dom: cap1, Type: 1, Metadata: &text}, nil)
	assert.Equal(t, ports.Title, driver.key.Kind)

	driver.fail = fault.New(fault.MetadataMissing, fault.API, "Requested metadata element is not present")
	code, from, message := p.refused(protocol.ProcDomainGetMetadata, &protocol.DomainGetMetadataArgs{Dom: cap1})
	assert.Equal(t, "metadata not found: Requested metadata element is not present", message)
	assert.Equal(t, []int32{80, 20}, []int32{code, from})
}

func TestMetadataChecks(t *testing.T) {
	line, text, name := "a\nb", "<a/>", "x"
	tests := []struct {
		name     string
		args     protocol.Message
		argument string
		message  string
	}{
		{"newline", &protocol.DomainSetMetadataArgs{Type: 1, Metadata: &line}, "metadata", "metadata title can't contain newlines"},
		{"element without key", &protocol.DomainSetMetadataArgs{Type: 2, Metadata: &text, URI: &name}, "key", "key in virDomainSetMetadata must not be NULL"},
		{"element without uri", &protocol.DomainSetMetadataArgs{Type: 2, Metadata: &text, Key: &name}, "uri", "uri in virDomainSetMetadata must not be NULL"},
		{"title with uri", &protocol.DomainSetMetadataArgs{Type: 1, Metadata: &text, URI: &name}, "uri", "uri in virDomainSetMetadata must be NULL"},
		{"title with key", &protocol.DomainSetMetadataArgs{Type: 1, Metadata: &text, Key: &name}, "key", "key in virDomainSetMetadata must be NULL"},
		{"get without uri", &protocol.DomainGetMetadataArgs{Type: 2}, "uri", "uri in virDomainGetMetadata must not be NULL"},
		{"get with uri", &protocol.DomainGetMetadataArgs{URI: &name}, "uri", "uri in virDomainGetMetadata must be NULL"},
		{"kind to get", &protocol.DomainGetMetadataArgs{Type: 3}, "", "invalid argument: unknown metadata type '3'"},
		{"kind to set", &protocol.DomainSetMetadataArgs{Type: -1}, "", "invalid argument: unknown metadata type '-1'"},
	}
	p := open(t, &stub{containers: list(running(7))}, how{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			procedure, function := int32(protocol.ProcDomainSetMetadata), "virDomainSetMetadata"
			if _, ok := test.args.(*protocol.DomainGetMetadataArgs); ok {
				procedure, function = protocol.ProcDomainGetMetadata, "virDomainGetMetadata"
			}
			failure := p.ask(procedure, test.args, nil)
			if assert.NotNil(t, failure) {
				assert.Equal(t, test.message, *failure.Message)
				assert.Equal(t, []int32{8, 20}, []int32{failure.Code, failure.Domain})
			}
			if test.argument != "" {
				assert.Equal(t, function, *failure.Str1)
				assert.Equal(t, test.argument, *failure.Str2)
			}
		})
	}
}
