package remote

import (
	"context"
	"strings"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// getMetadata is virDomainGetMetadata: the title, the description or the element of one
// namespace. The order of the checks is the one clients see from the original: the
// arguments, flags that exclude each other, unknown flags, the type. MetadataMissing,
// code 80, is how clients are told that there is none.
func getMetadata(ctx context.Context, r request, args *protocol.DomainGetMetadataArgs) (rpc.Body, error) {
	if err := r.checkURI(args.Type, args.URI); err != nil {
		return nil, err
	}
	if args.Flags&affectLive != 0 && args.Flags&affectConfig != 0 {
		return nil, exclusiveFlags(r.row.Function, "VIR_DOMAIN_AFFECT_LIVE", "VIR_DOMAIN_AFFECT_CONFIG")
	}
	if err := getMetadataRule.check(args.Flags); err != nil {
		return nil, err
	}
	key, err := metadataKey(args.Type, args.URI, args.Flags)
	if err != nil {
		return nil, err
	}
	text, err := r.connection.Metadata(ctx, reference(&args.Dom), key)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainGetMetadataRet{Metadata: text}, nil
}

// setMetadata is virDomainSetMetadata. Without a text (nil, which is not "") the
// metadata is removed. Key is the namespace's prefix for elements. Live and config may
// both be asked for here, unlike in getMetadata.
func setMetadata(ctx context.Context, r request, args *protocol.DomainSetMetadataArgs) (rpc.Body, error) {
	if err := r.checkNewMetadata(args); err != nil {
		return nil, err
	}
	if err := setMetadataRule.check(args.Flags); err != nil {
		return nil, err
	}
	key, err := metadataKey(args.Type, args.URI, args.Flags)
	if err != nil {
		return nil, err
	}
	// Texts have none: a key for them was refused above.
	key.Prefix = textOf(args.Key)
	return nil, r.connection.SetMetadata(ctx, reference(&args.Dom), key, args.Metadata)
}

// checkURI checks that elements are named by their namespace and texts are not.
// Kinds that do not exist are left to metadataKey.
// The texts "must be NULL" and "must not be NULL" are those of C's checks.
func (r request) checkURI(kind int32, uri *string) error {
	switch {
	case kind == int32(ports.Element) && uri == nil:
		return badArgument(r.row.Function, "uri", "must not be NULL")
	case isText(kind) && uri != nil:
		return badArgument(r.row.Function, "uri", "must be NULL")
	}
	return nil
}

// checkNewMetadata: a title is one line, because lists show it as one.
func (r request) checkNewMetadata(args *protocol.DomainSetMetadataArgs) error {
	if args.Type == int32(ports.Title) && strings.Contains(textOf(args.Metadata), "\n") {
		return invalidArgument(fromAPI, r.row.Function, "metadata", "metadata title can't contain newlines")
	}
	if err := r.checkURI(args.Type, args.URI); err != nil {
		return err
	}
	switch {
	case isText(args.Type) && args.Key != nil:
		return badArgument(r.row.Function, "key", "must be NULL")
	case args.Type == int32(ports.Element) && args.Metadata != nil && args.Key == nil:
		return badArgument(r.row.Function, "key", "must not be NULL")
	}
	return nil
}

// isText: descriptions and titles have neither a namespace nor a prefix. Numbers are
// those of virDomainMetadataType.
func isText(kind int32) bool { return kind == int32(ports.Description) || kind == int32(ports.Title) }

// metadataKey says what is meant, and of which definition; neither flag means the one
// that counts now. Types that do not exist are found here, after the flags.
func metadataKey(kind int32, uri *string, flags uint32) (ports.MetadataKey, error) {
	if !isText(kind) && kind != int32(ports.Element) {
		return ports.MetadataKey{}, fault.New(fault.InvalidArgument, fault.API, "unknown metadata type '%d'", kind)
	}
	return ports.MetadataKey{
		Kind: ports.MetadataKind(kind), Namespace: textOf(uri),
		Live: flags&affectLive != 0, Persistent: flags&affectConfig != 0,
	}, nil
}
