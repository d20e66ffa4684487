package access

import (
	"context"
	"log/slog"
	"strings"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// driverName is what rules and clients call this driver.
const driverName = "LXC"

// maxName bounds the names that rules get to see, in bytes. No container can have a
// longer one, but a document can have one of megabytes, and it comes from callers
// whose rights are not known yet.
const maxName = 1024

// Authority knows the host's policy.
type Authority interface {
	// Authorized says whether caller may do action as things are, without asking a
	// person. details are what rules may look at. An error is no answer.
	Authorized(ctx context.Context, caller access.Caller, action string, details map[string]string) (bool, error)
}

// NewPolkit asks authority about every right. A right is denied as well when the
// authority cannot be asked; that is logged, and its end too.
// Answers are not kept: rules may change at any time.
func NewPolkit(authority Authority, log *slog.Logger) ports.Access {
	return &polkit{authority: authority, log: log}
}

type polkit struct {
	authority Authority
	log       *slog.Logger
	complaint complaint
}

// Check answers for root by itself: the policy daemon allows root everything,
// whatever the rules say, so to ask it would only take time.
func (p *polkit) Check(ctx context.Context, caller access.Caller, permission access.Permission, object ports.AccessObject) error {
	if caller.UID == 0 {
		return nil
	}
	if len(object.Name) > maxName {
		return fault.Denied(driverName)
	}
	yes, err := p.authority.Authorized(ctx, caller, action(permission), details(object))
	if ctx.Err() == nil {
		p.complaint.report(p.log, err)
	}
	if err == nil && yes {
		return nil
	}
	p.log.Debug("denied a right", "permission", permission, "container", object.Name,
		"uid", caller.UID, "pid", caller.PID, "error", err)
	return fault.Denied(driverName)
}

// action is what the policy calls a right.
func action(permission access.Permission) string {
	return "org.libvirt.api." + strings.ReplaceAll(string(permission), "_", "-")
}

// details tell rules which driver and container it is about. A container that has
// not got its uuid yet has no detail of that name, so no rule can mistake it.
func details(object ports.AccessObject) map[string]string {
	told := map[string]string{"connect_driver": driverName}
	if object.Name == "" {
		return told
	}
	told["domain_name"] = object.Name
	if object.UUID != [16]byte{} {
		told["domain_uuid"] = container.UUID(object.UUID).String()
	}
	return told
}
