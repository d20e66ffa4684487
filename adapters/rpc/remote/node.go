package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// nodeHandlers tell about the host. Facts are read from files below /proc and /sys, so
// they are not inline.
func (s *Service) nodeHandlers() served {
	return served{
		protocol.ProcConnectGetVersion:      {plain(getVersion), false},
		protocol.ProcConnectGetHostname:     {plain(getHostname), false},
		protocol.ProcConnectGetCapabilities: {plain(getCapabilities), false},
		protocol.ProcNodeGetInfo:            {plain(getNodeInfo), false},
		protocol.ProcNodeGetSecurityModel:   s.securityModel(),
	}
}

// securityModel answers what never changes, but not to callers who may not read.
// Where reads are not quick the facts are asked for and thrown away: asking is the check.
// An access check would else be passed by.
func (s *Service) securityModel() entry {
	if s.quick {
		return entry{always(noSecurityModel), true}
	}
	return entry{handle: plain(func(ctx context.Context, r request) (rpc.Body, error) {
		if _, err := r.connection.NodeFacts(ctx); err != nil {
			return nil, err
		}
		return noSecurityModel, nil
	})}
}

// noSecurityModel says that no security driver is there. Names end with a NUL.
var noSecurityModel = &protocol.NodeGetSecurityModelRet{Model: []byte("none\x00"), DOI: []byte("0\x00")}

// getVersion tells the kernel's version: it is what runs containers.
// Everybody who may connect may know it, so these are the public facts. "6.1.0-23-amd64"
// is told as 6001000.
func getVersion(ctx context.Context, r request) (rpc.Body, error) {
	facts, err := r.connection.PublicFacts(ctx)
	if err != nil {
		return nil, err
	}
	version, err := kernelVersion(facts.KernelRelease)
	if err != nil {
		return nil, err
	}
	return &protocol.ConnectGetVersionRet{HvVer: version.Number()}, nil
}

// getHostname is virConnectGetHostname, open to everybody who may connect.
func getHostname(ctx context.Context, r request) (rpc.Body, error) {
	facts, err := r.connection.PublicFacts(ctx)
	if err != nil {
		return nil, err
	}
	return &protocol.ConnectGetHostnameRet{Hostname: facts.Hostname}, nil
}

// getCapabilities is virConnectGetCapabilities, an XML document that the codec makes. It
// is printed anew for each call, from the facts that the driver gives.
func getCapabilities(ctx context.Context, r request) (rpc.Body, error) {
	facts, err := r.connection.NodeFacts(ctx)
	if err != nil {
		return nil, err
	}
	return &protocol.ConnectGetCapabilitiesRet{Capabilities: r.client.service.codec.Capabilities(facts)}, nil
}

// getNodeInfo is virNodeGetInfo: memory in KiB, MHz of the first processor, and the
// topology. Model is an array of 32 chars which ends with a NUL whatever is in it.
func getNodeInfo(ctx context.Context, r request) (rpc.Body, error) {
	facts, err := r.connection.NodeFacts(ctx)
	if err != nil {
		return nil, err
	}
	info := &protocol.NodeGetInfoRet{
		Memory: facts.Memory, Cpus: int32(facts.CPUs), MHz: int32(facts.MHz), Nodes: int32(facts.Nodes),
		Sockets: int32(facts.Sockets), Cores: int32(facts.Cores), Threads: int32(facts.Threads),
	}
	// The model is the host's architecture, "x86_64".
	copy(info.Model[:len(info.Model)-1], facts.Arch)
	return info, nil
}
