package remote

import (
	"context"
	"slices"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/container"
)

// lookupHandlers find containers. They read the published snapshots alone, so they may
// be served in the reader where no access check asks somebody (see Options.QuickReads).
func (s *Service) lookupHandlers() served {
	return s.quickly(served{
		protocol.ProcDomainLookupByID:           {handle: with(lookupByID)},
		protocol.ProcDomainLookupByName:         {handle: with(lookupByName)},
		protocol.ProcDomainLookupByUUID:         {handle: with(lookupByUUID)},
		protocol.ProcConnectListAllDomains:      {handle: with(listAll)},
		protocol.ProcConnectListDomains:         {handle: with(listActive)},
		protocol.ProcConnectNumOfDomains:        {handle: plain(countActive)},
		protocol.ProcConnectListDefinedDomains:  {handle: with(listInactive)},
		protocol.ProcConnectNumOfDefinedDomains: {handle: plain(countInactive)},
	})
}

// lookupByID is virDomainLookupByID. Ids are those of running containers; -1 is what
// clients hold for others, and is refused before anybody is asked.
func lookupByID(ctx context.Context, r request, args *protocol.DomainLookupByIDArgs) (rpc.Body, error) {
	if args.ID < 0 {
		return nil, badArgument(r.row.Function, "id", "must be zero or greater")
	}
	return r.lookup(ctx, container.Ref{By: container.ByID, ID: int(args.ID)})
}

// lookupByName is virDomainLookupByName. Names are compared byte by byte.
func lookupByName(ctx context.Context, r request, args *protocol.DomainLookupByNameArgs) (rpc.Body, error) {
	return r.lookup(ctx, container.Ref{By: container.ByName, Name: args.Name})
}

// lookupByUUID is virDomainLookupByUUID. A failure is worded otherwise than for a
// UUID that comes within a reference, which is why the Ref says how it was made.
func lookupByUUID(ctx context.Context, r request, args *protocol.DomainLookupByUUIDArgs) (rpc.Body, error) {
	return r.lookup(ctx, container.Ref{By: container.ByUUIDLookup, UUID: container.UUID(args.UUID)})
}

// lookup answers with the container; the three answers have one form.
// NotFound comes from the driver with the text for the way it was asked. A caller who may
// not see it is answered by the driver too.
func (r request) lookup(ctx context.Context, ref container.Ref) (rpc.Body, error) {
	found, err := r.connection.Lookup(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainLookupByNameRet{Dom: objectOf(found.Identity)}, nil
}

// listAll is virConnectListAllDomains. A list beyond the interface's maximum is an
// error: half a list would pass for the whole.
func listAll(ctx context.Context, r request, args *protocol.ConnectListAllDomainsArgs) (rpc.Body, error) {
	if err := listRule.check(args.Flags); err != nil {
		return nil, err
	}
	found, err := r.connection.List(ctx, filterOf(args.Flags))
	if err != nil {
		return nil, err
	}
	if len(found) > protocol.DomainListMax {
		return nil, rpcFault("Too many domains '%d' for limit '%d'", len(found), protocol.DomainListMax)
	}
	return &listing{found: found, wanted: args.NeedResults != 0}, nil
}

// listing is the answer of the call that big hosts get most: it is encoded from
// the shared snapshots as they are. Unless wanted, only their number is told.
// Snapshots never change, so none is copied.
type listing struct {
	found  []*container.Snapshot
	wanted bool
}

// AppendXDR writes what protocol.ConnectListAllDomainsRet would. The order is that of the
// driver's list. On error what was appended is of no use.
func (l *listing) AppendXDR(b []byte) ([]byte, error) {
	// The list is empty when only its length is asked for.
	told := l.found
	if !l.wanted {
		told = nil
	}
	// Grown once for the whole list.
	b, err := xdr.AppendCount(slices.Grow(b, listingSize(told)), len(told), protocol.DomainListMax)
	for _, s := range told {
		if err != nil {
			return b, err
		}
		b, err = xdr.AppendString(b, s.Name, protocol.StringMax)
		b = append(b, s.UUID[:]...)
		b = xdr.AppendInt32(b, int32(s.ID))
	}
	return xdr.AppendUint32(b, uint32(len(l.found))), err
}

// listingSize is at least what the encoding takes.
// Room is made once: a list of thousands would else be copied ten times while it grows.
func listingSize(told []*container.Snapshot) int {
	size := 8
	for _, s := range told {
		size += len(s.Name) + 3 + 4 + len(s.UUID) + 4
	}
	return size
}

// listActive is virConnectListDomains, of before there were filters: ids only, and the
// client says how many it has room for. What does not fit is left out. There is no order
// that clients may rely on, and no word about how many were left out.
func listActive(ctx context.Context, r request, args *protocol.ConnectListDomainsArgs) (rpc.Body, error) {
	if err := r.checkRoom("maxids", args.Maxids); err != nil {
		return nil, err
	}
	found, err := r.connection.List(ctx, container.Filter{Active: true})
	if err != nil {
		return nil, err
	}
	found = found[:min(len(found), int(args.Maxids))]
	ids := make([]int32, len(found))
	for i, s := range found {
		ids[i] = int32(s.ID)
	}
	return &protocol.ConnectListDomainsRet{Ids: ids}, nil
}

// listInactive is virConnectListDefinedDomains, the same for names of what is not running.
func listInactive(ctx context.Context, r request, args *protocol.ConnectListDefinedDomainsArgs) (rpc.Body, error) {
	if err := r.checkRoom("maxnames", args.Maxnames); err != nil {
		return nil, err
	}
	found, err := r.connection.List(ctx, container.Filter{Inactive: true})
	if err != nil {
		return nil, err
	}
	found = found[:min(len(found), int(args.Maxnames))]
	names := make([]string, len(found))
	for i, s := range found {
		names[i] = s.Name
	}
	return &protocol.ConnectListDefinedDomainsRet{Names: names}, nil
}

// checkRoom checks how many entries a client has room for.
// The number sizes nothing here; the bound is the interface's. Above the maximum it is
// the dispatcher that complains, below 0 the public function: the two errors differ.
func (r request) checkRoom(argument string, room int32) error {
	switch {
	case room > protocol.DomainListMax:
		return wireFault("%s > REMOTE_DOMAIN_LIST_MAX", argument)
	case room < 0:
		return badArgument(r.row.Function, argument, "must be zero or greater")
	}
	return nil
}

// countActive is virConnectNumOfDomains. Between it and listActive anything may change.
func countActive(ctx context.Context, r request) (rpc.Body, error) {
	return r.count(ctx, container.Filter{Active: true})
}

// countInactive is virConnectNumOfDefinedDomains.
func countInactive(ctx context.Context, r request) (rpc.Body, error) {
	return r.count(ctx, container.Filter{Inactive: true})
}

// count answers with a number; both answers have one form.
// What the caller may not see is not counted.
func (r request) count(ctx context.Context, filter container.Filter) (rpc.Body, error) {
	found, err := r.connection.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	return &protocol.ConnectNumOfDomainsRet{Num: int32(len(found))}, nil
}
