package driver

// The names under which clients know the calls. They appear in two texts of the
// interface: who holds a container, and what a read-only connection may not do.
// They are those of the public functions, as in "held by
// monitor=virDomainCreate", and not of the procedures on the wire.
const (
	callDefine      = "virDomainDefineXMLFlags"
	callUndefine    = "virDomainUndefineFlags"
	callCreate      = "virDomainCreateXML"
	callStart       = "virDomainCreate"
	callSuspend     = "virDomainSuspend"
	callResume      = "virDomainResume"
	callShutdown    = "virDomainShutdown"
	callReboot      = "virDomainReboot"
	callDestroy     = "virDomainDestroy"
	callSignal      = "virDomainSendProcessSignal"
	callAutostart   = "virDomainSetAutostart"
	callMetadata    = "virDomainSetMetadata"
	callOpenConsole = "virDomainOpenConsole"
	callOpenNames   = "virDomainLxcOpenNamespace"

	// Changes that no client asked for. These have no function. Clients see
	// them only as what holds a container that they wait for in vain.
	callExit        = "container exit"
	callAutoDestroy = "auto-destroy"
	callReload      = "reload"
	callRecover     = "recovery"
)
