package remote

import (
	"context"
	"strings"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

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
	key.Prefix = textOf(args.Key)
	return nil, r.connection.SetMetadata(ctx, reference(&args.Dom), key, args.Metadata)
}

// checkURI checks that elements are named by their namespace and texts are not.
// Kinds that do not exist are left to metadataKey.
func (r request) checkURI(kind int32, uri *string) error {
	switch {
	case kind == int32(ports.Element) && uri == nil:
		return badArgument(r.row.Function, "uri", "must not be NULL")
	case isText(kind) && uri != nil:
		return badArgument(r.row.Function, "uri", "must be NULL")
	}
	return nil
}

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

func isText(kind int32) bool { return kind == int32(ports.Description) || kind == int32(ports.Title) }

func metadataKey(kind int32, uri *string, flags uint32) (ports.MetadataKey, error) {
	if !isText(kind) && kind != int32(ports.Element) {
		return ports.MetadataKey{}, fault.New(fault.InvalidArgument, fault.API, "unknown metadata type '%d'", kind)
	}
	return ports.MetadataKey{
		Kind: ports.MetadataKind(kind), Namespace: textOf(uri),
		Live: flags&affectLive != 0, Persistent: flags&affectConfig != 0,
	}, nil
}
