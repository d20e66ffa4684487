#!/usr/bin/env bash
# Builds bin/virtlxcd-go_VERSION_ARCH.deb of what `make install` installs. Needs
# dpkg-deb, no root. The same tree gives the same bytes.
#
#   .ci/deb.sh [DIRECTORY]     VERSION=1.2.3 and SOURCE_DATE_EPOCH are taken from the
#                              environment, else from git; DIRECTORY is bin
set -euo pipefail
cd "$(dirname "$0")/.."
command -v dpkg-deb >/dev/null || { echo "deb: needs dpkg-deb" >&2; exit 1; }

name=virtlxcd-go
to=${1:-bin}
version=${VERSION:-0.1.$(git rev-list --count HEAD 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r CHANGELOG.md +%s)}

# architecture is Debian's name of what Go builds for.
architecture() {
	case $(${GO:-go} env GOARCH) in
	386) echo i386 ;;
	arm) echo armhf ;;
	mips64le) echo mips64el ;;
	ppc64le) echo ppc64el ;;
	*) ${GO:-go} env GOARCH ;;
	esac
}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/root
umask 022
make -s install DESTDIR="$root" PREFIX=/usr SYSCONFDIR=/etc

# What other packages of Debian have too. libvirt-daemon-system, which hosts with
# virtual machines need, brings lxc.conf (its absence means the defaults) and the
# target (nothing but a part of that package orders itself after it). And with
# libvirt's LXC driver not installed beside this package, its daemon is no rival.
install -d "$root/usr/share/$name"
mv "$root/etc/libvirt/lxc.conf" "$root/usr/share/$name/lxc.conf"
rm "$root/usr/lib/systemd/system/virt-guest-shutdown.target"
sed -i '/^# One process of a host/d; /^\(Conflicts\|After\)=libvirtd\.service$/d' "$root/usr/lib/systemd/system/virtlxcd.service"

find "$root/usr/share/man" -type f -exec gzip -9n {} +
install -D -m 0644 .ci/deb/copyright "$root/usr/share/doc/$name/copyright"
gzip -9nc CHANGELOG.md >"$root/usr/share/doc/$name/changelog.gz"

install -d "$root/DEBIAN"
install -m 0755 .ci/deb/postinst .ci/deb/prerm .ci/deb/postrm "$root/DEBIAN/"
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
arch=$(architecture)
size=$(find "$root/usr" "$root/etc" -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
sed "s/@NAME@/$name/; s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" .ci/deb/control >"$root/DEBIAN/control"

chmod -R u=rwX,go=rX "$root"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$to"
rm -f "$to/$name"_*_"$arch".deb
package=$to/${name}_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
