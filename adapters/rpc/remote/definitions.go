package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/ports"
)

// definitionHandlers are about what is on disk. They wait for the disk, and changes for
// the container's job: none is inline.
func definitionHandlers() served {
	return served{
		protocol.ProcDomainDefineXML:      {handle: with(define)},
		protocol.ProcDomainDefineXMLFlags: {handle: with(defineFlags)},
		protocol.ProcDomainUndefine:       {handle: with(undefine)},
		protocol.ProcDomainUndefineFlags:  {handle: with(undefineFlags)},
		protocol.ProcDomainGetXMLDesc:     {handle: with(getXML)},
		protocol.ProcDomainGetAutostart:   {handle: with(getAutostart)},
		protocol.ProcDomainSetAutostart:   {handle: with(setAutostart)},
		protocol.ProcDomainGetMetadata:    {handle: with(getMetadata)},
		protocol.ProcDomainSetMetadata:    {handle: with(setMetadata)},
	}
}

// define is virDomainDefineXML. An absent uuid is drawn and comes back in the answer.
func define(ctx context.Context, r request, args *protocol.DomainDefineXMLArgs) (rpc.Body, error) {
	return r.define(ctx, args.XML, false)
}

// defineFlags is virDomainDefineXMLFlags; VALIDATE has the document compared with the
// schema first. Other flags are refused before the document is looked at.
func defineFlags(ctx context.Context, r request, args *protocol.DomainDefineXMLFlagsArgs) (rpc.Body, error) {
	if err := defineRule.check(args.Flags); err != nil {
		return nil, err
	}
	return r.define(ctx, args.XML, args.Flags&defineValidate != 0)
}

// define hands the document on as it is: only the codec behind the port knows XML.
func (r request) define(ctx context.Context, document string, validate bool) (rpc.Body, error) {
	identity, err := r.connection.Define(ctx, document, validate)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainDefineXMLRet{Dom: objectOf(identity)}, nil
}

// undefine is virDomainUndefine. A running container stays and becomes transient.
func undefine(ctx context.Context, r request, args *protocol.DomainUndefineArgs) (rpc.Body, error) {
	return nil, r.connection.Undefine(ctx, reference(&args.Dom))
}

// undefineFlags is virDomainUndefineFlags. All its flags are about things containers
// do not have (saved images, snapshots, firmware), so all are refused. Asking for them to
// be removed as well would succeed without having been heard.
func undefineFlags(ctx context.Context, r request, args *protocol.DomainUndefineFlagsArgs) (rpc.Body, error) {
	if err := undefineRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Undefine(ctx, reference(&args.Dom))
}

// getXML shows secrets on request only, and never on a connection that may only
// read. What is meant for migration contains them. That refusal comes before the one of
// unknown flags. The document of a running container is the live one unless INACTIVE is
// set.
func getXML(ctx context.Context, r request, args *protocol.DomainGetXMLDescArgs) (rpc.Body, error) {
	secure := args.Flags&(viewSecure|viewMigratable) != 0
	if secure && r.readOnly {
		return nil, denied(fromAPI, r.row.Function+" with secure flag")
	}
	if err := xmlRule.check(args.Flags); err != nil {
		return nil, err
	}
	view := ports.View{Inactive: args.Flags&viewInactive != 0, Secure: secure}
	document, err := r.connection.Definition(ctx, reference(&args.Dom), view)
	if err != nil {
		return nil, err
	}
	return &protocol.DomainGetXMLDescRet{XML: document}, nil
}

// getAutostart is virDomainGetAutostart. A transient container has none: what the driver
// says then is passed on.
func getAutostart(ctx context.Context, r request, args *protocol.DomainGetAutostartArgs) (rpc.Body, error) {
	on, err := r.connection.Autostart(ctx, reference(&args.Dom))
	if err != nil {
		return nil, err
	}
	return &protocol.DomainGetAutostartRet{Autostart: ofBool(on)}, nil
}

// setAutostart is virDomainSetAutostart. Any number but 0 is yes, as in C.
func setAutostart(ctx context.Context, r request, args *protocol.DomainSetAutostartArgs) (rpc.Body, error) {
	return nil, r.connection.SetAutostart(ctx, reference(&args.Dom), args.Autostart != 0)
}
