package driver

// The names under which clients know the calls. They appear in two texts of the
// interface: who holds a container, and what a read-only connection may not do.
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

	// Changes that no client asked for.
	callExit        = "container exit"
	callAutoDestroy = "auto-destroy"
	callReload      = "reload"
	callRecover     = "recovery"
)
