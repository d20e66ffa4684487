# What there is to do here. HACKING.md says more.

PREFIX  ?= /usr
DESTDIR ?=
FUZZTIME ?= 10s

GO       ?= go
GOBUILD  := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w'

.PHONY: all build run demo test check bench fuzz install clean

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
	@.ci/packages.sh virsh python3-libvirt busybox ip gcc script setsid unshare || [ "$$(id -u)" -ne 0 ]
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

# Below another PREFIX than /usr the daemon has to be told where the controller
# is: virtlxcd --controller.
install: build
	install -D -m 0755 bin/virtlxcd $(DESTDIR)$(PREFIX)/sbin/virtlxcd
	install -D -m 0755 bin/libvirt_lxc $(DESTDIR)$(PREFIX)/lib/libvirt/libvirt_lxc

clean:
	rm -rf bin
