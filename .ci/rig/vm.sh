#!/bin/bash
# A virtual machine with its own kernel and a full systemd, for what namespaces
# can't show: pure cgroup v2 with all controllers, v1 and hybrid layouts,
# AppArmor, machined, logind, reboot with running containers.
#
#   vm.sh build                        make kernel, initrd and root image (cached)
#   vm.sh run [OPTIONS] 'CMD'          boot, run CMD as root, power off; status is CMD's
#   vm.sh clean
# Options of run:
#   -g v2|hybrid|v1   cgroup layout (default v2)
#   -d DIR            folder shared read-write with the machine, there at /share
#   -t SECONDS        limit for the whole run (default 600)
#   -m MiB            memory (default 2048)        -c N   CPUs (default 2)
#   -a 'WORDS'        more words for the kernel's command line
#   -p                keep changes: write to a copy-on-write disk beside the image
#                     (VM_STATE names it), so that a second run sees the first's state
#   -v                show the kernel's and systemd's console on stderr
# 125: the machine did not come up or its result is missing; 124: out of time.
set -u
CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vm-box}
# Both processors are emulated by one thread. With one thread for each, QEMU 7.2 may
# go on executing the breakpoint under which the kernel rewrites its own code on the
# other processor: the machine stands still for ever, about once in 30 boots, when
# the first processor quota is set.
ACCEL=tcg,thread=single
BASE="systemd systemd-sysv systemd-container dbus polkitd udev kmod procps iproute2 iptables nftables
 busybox-static python3 libvirt-clients python3-libvirt libvirt-login-shell apparmor apparmor-utils strace psmisc
 libvirt-daemon libvirt-daemon-driver-lxc libvirt-daemon-system libvirt-daemon-system-systemd
 libsys-virt-perl dnsmasq-base e2fsprogs util-linux ca-certificates- "
die() { echo "vm: $*" >&2; exit 125; }

# need PROGRAM PACKAGE... installs the packages if the program is missing.
need() {
  command -v "$1" >/dev/null && return
  apt-get update -qq >&2; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${@:2}" >&2 ||
    die "$1 is missing and could not be installed"
}

# Several may want the same image at once: one builds, the others wait.
build() {
  need qemu-system-x86_64 qemu-system-x86
  [[ -e $CACHE/.complete ]] && return
  [[ $EUID -eq 0 ]] || die "must run as root"
  mkdir -p "$CACHE" || die "no cache"
  ( flock 9 && build_image ) 9> "$CACHE/lock" || exit 125
}

build_image() {
  [[ -e $CACHE/.complete ]] && return
  need mmdebstrap mmdebstrap; need cpio cpio; need mke2fs e2fsprogs
  cd "$CACHE" || die "no cache"
  local pk; pk=$(apt-cache depends "linux-image-amd64" | awk '/Depends:/{print $2; exit}')
  [[ -n $pk ]] || die "which kernel package?"
  rm -rf root k; mkdir k
  ( cd k && apt-get download "$pk" >/dev/null 2>&1 ) || die "no kernel package $pk"
  mmdebstrap --quiet --variant=minbase --include="$(echo $BASE ${VM_PACKAGES:-} | tr ' ' '\n' | grep -v -- '-$' | paste -sd,)" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm root >&2 || die "root file system"
  dpkg-deb --fsys-tarfile k/*.deb | tar -x -C root --keep-directory-symlink || die "kernel files"
  local v; v=$(basename root/boot/vmlinuz-*); v=${v#vmlinuz-}
  chroot root depmod "$v"
  cp "root/boot/vmlinuz-$v" vmlinuz; echo "$v" > kver
  # initrd: busybox and just the modules that lead to the root file system
  rm -rf ird; mkdir -p ird/{bin,dev,proc,sys,new,lib/modules}
  cp root/bin/busybox ird/bin/
  local mods=() m
  for m in virtio_pci virtio_blk ext4 crc32c_generic crc32c_intel 9pnet_virtio 9p virtio_rng; do
    while read -r _ f _; do [[ $f = /* ]] && mods+=("$f"); done < <(chroot root modprobe -S "$v" --show-depends "$m" 2>/dev/null)
  done
  local seen=" " list=
  for m in "${mods[@]}"; do
    case $seen in *" $m "*) continue;; esac; seen+="$m "
    cp "root$m" "ird/lib/modules/$(basename "$m")"; list+="$(basename "$m") "
  done
  cat > ird/init <<I
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc; /bin/busybox mount -t sysfs sysfs /sys; /bin/busybox mount -t devtmpfs dev /dev
for m in $list; do /bin/busybox insmod /lib/modules/\$m 2>/dev/null; done
i=0; while [ ! -b /dev/vda ] && [ \$i -lt 100 ]; do /bin/busybox sleep 0.1; i=\$((i+1)); done
/bin/busybox mount -t ext4 -o rw /dev/vda /new || exec /bin/busybox poweroff -f
/bin/busybox mount --move /dev /new/dev; /bin/busybox umount /proc /sys
exec /bin/busybox switch_root /new /lib/systemd/systemd
I
  chmod +x ird/init; ( cd ird && find . | cpio -o -H newc --quiet ) | gzip -1 > initrd
  chroot root systemctl mask --quiet systemd-timesyncd e2scrub_reap e2scrub_all.timer apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer getty.target serial-getty@ttyS0.service \
    libvirt-guests.service systemd-hwdb-update.service 2>/dev/null
  chroot root systemctl disable --quiet libvirtd.service virtlogd.service virtlockd.service 2>/dev/null
  chroot root systemctl set-default --quiet multi-user.target
  echo rigvm > root/etc/hostname; printf '127.0.0.1 localhost rigvm\n' > root/etc/hosts
  : > root/etc/fstab; echo 0123456789abcdef0123456789abcdef > root/etc/machine-id
  chroot root passwd -d root >/dev/null
  cat > root/etc/systemd/system/rig-run.service <<'U'
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/bin/bash /usr/local/sbin/rig-run
StandardOutput=journal
[Install]
WantedBy=multi-user.target
U
  cat > root/usr/local/sbin/rig-run <<'U'
mkdir -p /share /rig
modprobe 9pnet_virtio; modprobe 9p
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 rig /rig
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share 2>/dev/null
cut -d' ' -f1 /proc/uptime > /rig/up
cd /share
systemd-run --quiet --wait --collect --pipe --unit rig-cmd /bin/bash /rig/cmd > /rig/out 2>&1 </dev/null
echo $? > /rig/rc
journalctl -b --no-pager > /rig/journal 2>/dev/null
sync; systemctl poweroff -ff
U
  chroot root systemctl enable --quiet rig-run.service
  rm -f root.img; truncate -s 4G root.img
  mke2fs -q -F -t ext4 -O ^has_journal,^metadata_csum -d root root.img || die "image"
  rm -rf root ird
  touch .complete
}

run() {
  local mode=v2 dir= limit=600 mem=2048 cpus=2 words= keep= verb=
  while getopts g:d:t:m:c:a:pv o; do case $o in
    g) mode=$OPTARG;; d) dir=$(realpath "$OPTARG");; t) limit=$OPTARG;; m) mem=$OPTARG;; c) cpus=$OPTARG;;
    a) words=$OPTARG;; p) keep=1;; v) verb=1;; *) exit 2;; esac; done
  shift $((OPTIND-1)); [[ $# -gt 0 ]] || die "no command"
  build
  local w; w=$(mktemp -d ${TMPDIR:-/var/tmp}/vmrun.XXXXXX); printf '%s\n' "$*" > "$w/cmd"; : > "$w/out"
  case $mode in
    v2) words+=" systemd.unified_cgroup_hierarchy=1" ;;
    hybrid) words+=" systemd.unified_cgroup_hierarchy=0" ;;
    v1) words+=" systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1" ;;
    *) die "-g v1|hybrid|v2" ;;
  esac
  local disk="file=$CACHE/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe"
  if [[ -n $keep ]]; then
    local st=${VM_STATE:-$CACHE/state.qcow2}
    [[ -e $st ]] || qemu-img create -q -f qcow2 -b "$CACHE/root.img" -F raw "$st"
    disk="file=$st,format=qcow2,if=virtio,cache=unsafe"
  fi
  local share=(); [[ -n $dir ]] && share=(-virtfs "local,path=$dir,mount_tag=share,security_model=none,id=sh")
  local t0=$SECONDS
  timeout -k 5 "$limit" qemu-system-x86_64 -accel "${VM_ACCEL:-$ACCEL}" -cpu "${VM_CPU:-max}" -smp "$cpus" -m "$mem" \
    -nodefaults -no-user-config -display none -no-reboot -kernel "$CACHE/vmlinuz" -initrd "$CACHE/initrd" \
    -append "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off random.trust_cpu=on nowatchdog $words" \
    -serial "file:$w/console" -drive "$disk" -device virtio-rng-pci \
    -netdev user,id=n0,restrict=on -device virtio-net-pci,netdev=n0,romfile= \
    -virtfs "local,path=$w,mount_tag=rig,security_model=none,id=rig" "${share[@]}" >"$w/qemu" 2>&1 </dev/null
  local q=$?
  cat "$w/out"
  [[ -n $verb ]] && { cat "$w/qemu" "$w/console" "$w/journal" 2>/dev/null; } >&2
  echo "vm: userspace ready after $(cat "$w/up" 2>/dev/null || echo '?') s (machine's clock), whole run $((SECONDS-t0)) s" >&2
  local rc; rc=$(cat "$w/rc" 2>/dev/null)
  rm -rf "$w"
  [[ $q -eq 124 ]] && return 124
  [[ -n $rc ]] && return "$rc"
  return 125
}

case ${1:-} in
  build) build ;;
  run) shift; run "$@" ;;
  clean) rm -rf --one-file-system "$CACHE" ;;
  *) sed -n '2,22s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
