package step

// List is a sequence of operations.
type List []Op

// Namespaces says which namespaces the first process gets of its own. Process
// and mount namespaces it always does.
type Namespaces struct {
	User, Net, IPC, UTS bool
}
