// Package ports holds the interfaces between the application and the world.
//
// Inbound ports (connector.go) are implemented by app/driver and called by
// adapters/rpc. Outbound ports are implemented by adapters and by fakes; each
// has a contract suite in ports/porttest that both must pass.
//
// Unless a method says otherwise: it is safe from any goroutine, it returns
// *fault.Error values, and a context that ends makes it return early with kind
// Aborted or Timeout, leaving nothing half-built.
package ports
