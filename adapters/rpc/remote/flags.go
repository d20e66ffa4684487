package remote

// A flagRule says which flags a call takes, and the name under which the driver
// complains about others.
// The function is spelt as the original's driver does, not as its public interface:
// that is what its answers carry, and what clients print. Rules are values without state,
// used by all sessions at once.
type flagRule struct {
	function string
	allowed  uint32
}

// check answers with the unsupported bits, if any.
// The answer is a code 8 whose text shows all unknown bits in hex.
func (f flagRule) check(flags uint32) error {
	if bits := flags &^ f.allowed; bits != 0 {
		return unknownFlags(f.function, bits)
	}
	return nil
}

// Flags of the calls, as clients number them.
// Numbers are of virDomainCreateFlags, virDomainDefineFlags, virDomainShutdownFlagValues,
// virDomainXMLFlags and virDomainModificationImpact. Known here means served: a flag
// that is legal and means nothing to containers is refused too.
const (
	openReadOnly = 1 << 0

	startAutoDestroy = 1 << 1
	startValidate    = 1 << 4

	defineValidate = 1 << 0

	askInitControl = 1 << 2
	askSignal      = 1 << 3

	viewSecure     = 1 << 0
	viewInactive   = 1 << 1
	viewMigratable = 1 << 3

	affectLive   = 1 << 0
	affectConfig = 1 << 1
)

// The rules by family. A call without a rule here has no flags, or ignores them.
var (
	listRule = flagRule{"lxcConnectListAllDomains", listFlags}

	defineRule   = flagRule{"lxcDomainDefineXMLFlags", defineValidate}
	undefineRule = flagRule{"lxcDomainUndefineFlags", 0}
	xmlRule      = flagRule{"lxcDomainGetXMLDesc", viewSecure | viewInactive | viewMigratable}

	getMetadataRule = flagRule{"lxcDomainGetMetadata", affectLive | affectConfig}
	setMetadataRule = flagRule{"lxcDomainSetMetadata", affectLive | affectConfig}

	createRule   = flagRule{"lxcDomainCreateXMLWithFiles", startAutoDestroy | startValidate}
	startRule    = flagRule{"lxcDomainCreateWithFiles", startAutoDestroy}
	destroyRule  = flagRule{"lxcDomainDestroyFlags", 0}
	shutdownRule = flagRule{"lxcDomainShutdownFlags", askInitControl | askSignal}
	rebootRule   = flagRule{"lxcDomainReboot", askInitControl | askSignal}
	signalRule   = flagRule{"lxcDomainSendProcessSignal", 0}

	stateRule       = flagRule{"lxcDomainGetState", 0}
	managedSaveRule = flagRule{"lxcDomainHasManagedSaveImage", 0}

	consoleRule   = flagRule{"lxcDomainOpenConsole", 0}
	namespaceRule = flagRule{"lxcDomainLxcOpenNamespace", 0}
	identityRule  = flagRule{"virConnectSetIdentity", 0}
)
