# What there is to do here. HACKING.md says more.

PREFIX  ?= /usr
SYSCONFDIR ?= /etc
DESTDIR ?=
FUZZTIME ?= 10s

GO       ?= go
GOBUILD  := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w'

.PHONY: all build run demo test check bench fuzz install deb test-deb test-vm man clean

all: build

# The daemon, the controller it starts and, where there is one, the daemon on
# an in-memory host.
build:
	@mkdir -p bin
	$(GOBUILD) -o bin/ ./cmd/...

# A daemon with a container, until Ctrl-C. Root.
run: build
	@.ci/demo.sh --stay

# The same without anybody watching: shows what it does and cleans up. Root.
demo: build
	@.ci/demo.sh

# Everything that can be tested: as root all of it, else what needs no root.
test:
	@.ci/packages.sh virsh virt-admin python3-libvirt busybox ip ss gcc ps script setsid unshare nsenter setpriv dbus-daemon mmdebstrap || [ "$$(id -u)" -ne 0 ]
	@.ci/test.sh

# Seconds: format, vet, lint, imports, generated files, modules.
check:
	@.ci/check.sh

bench: build
	$(GOBUILD) -o bin/virtlxcd-bench ./wiring/bench
	bin/virtlxcd-bench

# Every fuzz target for FUZZTIME.
fuzz:
	@.ci/fuzz.sh $(FUZZTIME)

# Below another PREFIX than /usr the daemon is told where its controller is; polkit
# reads /usr/share alone there. Configuration that is there already stays.
etc     = $(DESTDIR)$(SYSCONFDIR)
usr     = $(DESTDIR)$(PREFIX)
share   = $(usr)/share
units   = $(usr)/lib/systemd/system
files   = cmd/virtlxcd
keep    = $(SHELL) -c '[ -e "$$2" ] || install -D -m 0644 "$$1" "$$2"' keep
program = $(PREFIX)/sbin/virtlxcd$(if $(filter /usr,$(PREFIX)),, --controller $(PREFIX)/lib/libvirt/libvirt_lxc)

install: build
	install -D -m 0755 bin/virtlxcd $(usr)/sbin/virtlxcd
	install -D -m 0755 bin/libvirt_lxc $(usr)/lib/libvirt/libvirt_lxc
	install -d $(units) $(share)/man/man5 $(share)/man/man8
	install -m 0644 $(files)/units/virtlxcd*.socket $(units)/
	sed 's,^ExecStart=/usr/sbin/virtlxcd,ExecStart=$(program),' $(files)/units/virtlxcd.service >$(units)/virtlxcd.service
	chmod 0644 $(units)/virtlxcd.service
	$(keep) $(files)/units/virt-guest-shutdown.target $(units)/virt-guest-shutdown.target
	install -D -m 0644 $(files)/polkit/org.libvirt.virtlxcd.policy $(share)/polkit-1/actions/org.libvirt.virtlxcd.policy
	install -D -m 0644 $(files)/polkit/60-virtlxcd.rules $(share)/polkit-1/rules.d/60-virtlxcd.rules
	install -D -m 0644 $(files)/logind/virtlxcd.conf $(usr)/lib/systemd/logind.conf.d/virtlxcd.conf
	install -D -m 0644 $(files)/completion/virtlxcd $(share)/bash-completion/completions/virtlxcd
	install -m 0644 docs/man/*.5 $(share)/man/man5/
	install -m 0644 docs/man/*.8 $(share)/man/man8/
	$(keep) adapters/settings/defaults/virtlxcd.conf $(etc)/libvirt/virtlxcd.conf
	$(keep) adapters/settings/defaults/lxc.conf $(etc)/libvirt/lxc.conf
	$(keep) $(files)/default/virtlxcd $(etc)/default/virtlxcd
	$(keep) $(files)/logrotate/virtlxcd $(etc)/logrotate.d/virtlxcd

# A package for Debian: bin/virtlxcd-go_VERSION_ARCH.deb.
deb:
	@.ci/deb.sh

# Installs, upgrades and removes it in a booted Debian, containers running. Root.
test-deb:
	@.ci/deb-test.sh

# The daemon in a virtual machine: version 2 of control groups, the end of the
# host, autostart. Root, about four minutes.
test-vm:
	@.ci/vm-test.sh

# The manual pages: what the formatter complains of.
man:
	@.ci/man.sh

clean:
	rm -rf bin
