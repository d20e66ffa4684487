#!/bin/bash
# A small Debian system with a real systemd as PID 1, booted in namespaces, for
# what the daemon has to do with its service manager: socket activation,
# restarts, journald, polkit, machined, logind. The host's own PID 1 may be
# anything. Needs root, Debian's package archive and, to build, mmdebstrap (which
# is installed if it is missing).
#
#   systemd-box.sh build                    make the root file system (cached)
#   systemd-box.sh run [OPTIONS] CMD...     boot, run CMD (a shell line), power off
#   systemd-box.sh clean                    remove the cache
#
# Options of run:
#   -b SRC[:DST]   bind a host file or folder, writable (repeatable)
#   -c SRC:DST     copy a host file or folder into the box before it boots (repeatable)
#   -s LINE        shell line run inside the still unbooted root (repeatable),
#                  e.g. -s 'systemctl enable foo.socket'
#   -g v2|hybrid|v1   which cgroup layout the box sees (default v2)
#   -t SECONDS     limit for CMD (default 300)
#   -j             print the box's journal at the end (to stderr)
#
# CMD's standard input and output are this script's. The exit status is CMD's;
# 125 when the box could not be built or booted (also when a -s line fails), and
# 124 when CMD ran out of time; a CMD that powers the box off has no status worth
# looking at. The box ends with this script, however that ends. Nothing that
# happens in the box changes the host: its root is an overlay whose upper layer
# lives in memory, it has its own process, mount, network, IPC, UTS and cgroup
# namespaces. Only -b is shared.
#
# Environment: BOX_CACHE (cache folder), BOX_PACKAGES (extra packages, separated
# by spaces), BOX_SUITE (default bookworm), BOX_MIRROR.
set -u

CACHE=${BOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/systemd-box}
SUITE=${BOX_SUITE:-bookworm}
BASE="systemd systemd-sysv systemd-container dbus polkitd iproute2 procps kmod
      busybox-static python3 libvirt-clients python3-libvirt"
PKGS=$(echo $BASE ${BOX_PACKAGES:-} | tr ' ' '\n' | sort -u | tr '\n' ' ')
KEY=$(echo "$SUITE $PKGS" | sha256sum | cut -c1-16)
ROOT=$CACHE/root-$KEY

die() { echo "systemd-box: $*" >&2; exit 125; }

# Several may want the same root at once: one builds, the others wait.
build() {
  [[ -e $ROOT/.complete ]] && return 0
  [[ $EUID -eq 0 ]] || die "must run as root"
  mkdir -p "$CACHE" || die "no cache folder"
  ( flock 9 && build_root ) 9> "$CACHE/lock" || exit 125
}

build_root() {
  [[ -e $ROOT/.complete ]] && return 0
  command -v mmdebstrap >/dev/null ||
    { apt-get update -qq >&2; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap >&2; } ||
    die "mmdebstrap is missing and could not be installed"
  rm -rf "$ROOT" "$ROOT.part"
  echo "systemd-box: building $ROOT" >&2
  # No -recommends, no man pages, no foreign texts: the smaller the faster.
  mmdebstrap --quiet --variant=minbase --include="$(echo $PKGS | tr ' ' ',')" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" "$ROOT.part" ${BOX_MIRROR:-} >&2 || die "building the root file system failed"
  # Things that only make sense on hardware, or that would slow the boot down.
  chroot "$ROOT.part" systemctl mask --quiet \
    systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket \
    systemd-udevd-control.socket systemd-modules-load.service systemd-remount-fs.service \
    systemd-networkd.service systemd-timesyncd.service e2scrub_reap.service \
    e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    fstrim.timer getty.target console-getty.service dev-hugepages.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    libvirt-guests.service proc-sys-fs-binfmt_misc.automount 2>/dev/null
  chroot "$ROOT.part" systemctl set-default --quiet multi-user.target
  echo box > "$ROOT.part/etc/hostname"
  printf '127.0.0.1 localhost box\n' > "$ROOT.part/etc/hosts"
  : > "$ROOT.part/etc/fstab"; : > "$ROOT.part/etc/machine-id"
  mkdir -p "$ROOT.part/etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' > "$ROOT.part/etc/systemd/journald.conf.d/box.conf"
  touch "$ROOT.part/.complete" && mv "$ROOT.part" "$ROOT" || die "could not finish the build"
}

# Runs in the new namespaces: lay out the box's root and become its init.
boot() {
  local work=$1 mode=$2; set -e
  mount --make-rprivate /
  mount -n -t tmpfs -o mode=755 tmpfs "$work/mem"
  mkdir "$work/mem/up" "$work/mem/wk" "$work/mem/root"
  local r=$work/mem/root
  mount -n -t overlay overlay -o "lowerdir=$ROOT,upperdir=$work/mem/up,workdir=$work/mem/wk" "$r"
  mount -n -t proc -o nosuid,nodev,noexec proc "$r/proc"
  # settings of the whole host stay out of reach; those of the own network don't
  mount -n --bind "$r/proc/sys" "$r/proc/sys"; mount -n --bind "$r/proc/sys/net" "$r/proc/sys/net"
  mount -n -o remount,bind,ro "$r/proc/sys"
  if [[ -e $r/proc/sysrq-trigger ]]; then
    mount -n --bind "$r/proc/sysrq-trigger" "$r/proc/sysrq-trigger"; mount -n -o remount,bind,ro "$r/proc/sysrq-trigger"
  fi
  mount -n -t sysfs -o nosuid,nodev,noexec sysfs "$r/sys"
  mount -n -t tmpfs -o nosuid,mode=755 tmpfs "$r/dev"
  local n
  for n in null zero full random urandom tty fuse net/tun kmsg; do
    [[ -e /dev/$n ]] || continue
    mkdir -p "$r/dev/$(dirname $n)"; touch "$r/dev/$n"; mount -n --bind "/dev/$n" "$r/dev/$n"
  done
  mkdir "$r/dev/pts" "$r/dev/shm"
  mount -n -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$r/dev/pts"
  ln -s pts/ptmx "$r/dev/ptmx"
  ln -s /proc/self/fd "$r/dev/fd"; ln -s fd/0 "$r/dev/stdin"; ln -s fd/1 "$r/dev/stdout"; ln -s fd/2 "$r/dev/stderr"
  touch "$r/dev/console"; mount -n --bind /dev/null "$r/dev/console"
  mount -n -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$r/run"
  case $mode in
    v2) mount -n -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$r/sys/fs/cgroup" ;;
    *)
      mount -n -t tmpfs -o mode=755 tmpfs "$r/sys/fs/cgroup"
      mkdir "$r/sys/fs/cgroup/systemd"
      mount -n -t cgroup -o nosuid,nodev,noexec,none,name=systemd,xattr cgroup "$r/sys/fs/cgroup/systemd" ||
        mount -n -t cgroup -o nosuid,nodev,noexec,none,name=systemd cgroup "$r/sys/fs/cgroup/systemd"
      awk -F: '$2!="" && $2!~/=/{print $2}' /proc/self/cgroup | while read -r n; do
        mkdir "$r/sys/fs/cgroup/$n"
        mount -n -t cgroup -o "nosuid,nodev,noexec,$n" cgroup "$r/sys/fs/cgroup/$n" || rmdir "$r/sys/fs/cgroup/$n"
      done
      if [[ $mode = hybrid ]]; then
        mkdir "$r/sys/fs/cgroup/unified"
        mount -n -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$r/sys/fs/cgroup/unified"
      fi ;;
  esac
  local i src dst
  while IFS=$'\t' read -r kind src dst; do
    case $kind in
      bind)
        if [[ -d $src ]]; then mkdir -p "$r$dst"; else mkdir -p "$r$(dirname "$dst")"; touch "$r$dst"; fi
        mount -n --rbind "$src" "$r$dst" ;;
      copy)
        mkdir -p "$r$(dirname "$dst")"
        if [[ -d $src ]]; then mkdir -p "$r$dst"; cp -a "$src/." "$r$dst/"; else cp -a "$src" "$r$dst"; fi ;;
      setup) chroot "$r" /bin/bash -c "$src" >&2 || { echo "this line failed: $src" >&2; exit 1; } ;;
    esac
  done < "$work/todo"
  cd "$r"; mkdir -p .old; pivot_root . .old; cd /
  ip link set lo up 2>/dev/null || true
  umount -n -l /.old; rmdir /.old 2>/dev/null || true
  hostname box
  exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    TERM=linux LANG=C.UTF-8 /lib/systemd/systemd ${mode:+$([[ $mode = v1 ]] && echo systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1)} \
    </dev/null
}

# hierarchies lists the places of control groups: one per hierarchy.
hierarchies() { awk '($3=="cgroup"||$3=="cgroup2") && $2~"^/sys/fs/cgroup"{print $2}' /proc/self/mounts; }

# remove_groups removes a box's groups; those of its last processes take a moment.
remove_groups() {
  local m left
  for _ in 1 2 3 4 5 6; do
    left=
    for m in $(hierarchies); do
      [[ -d $m/$1 ]] || continue
      find "$m/$1" -depth -type d -exec rmdir {} \; 2>/dev/null
      [[ -d $m/$1 ]] && left=1
    done
    [[ -z $left ]] && return; sleep 0.2
  done
}

# sweep removes what killed runs of this script left: all names carry its pid.
sweep() {
  local m name pid
  for name in "${TMPDIR:-/tmp}"/systemd-box.*.*; do
    pid=${name##*/systemd-box.}; pid=${pid%%.*}
    [[ $pid =~ ^[0-9]+$ && -d $name/mem && ! -d /proc/$pid ]] && rm -rf --one-file-system "$name"
  done
  for m in $(hierarchies); do
    for name in "$m"/systemd-box-*; do
      [[ -d $name && ! -d /proc/${name##*-} ]] && remove_groups "$(basename "$name")"
    done
  done
}

run() {
  local mode=v2 limit=300 journal= todo
  local work; work=$(mktemp -d "${TMPDIR:-/tmp}/systemd-box.$$.XXXXXX") || die "no temporary folder"
  mkdir "$work/mem"; todo=$work/todo; : > "$todo"
  while [[ $# -gt 0 ]]; do
    case $1 in
      -b) local s=${2%%:*} d=${2#*:}; printf 'bind\t%s\t%s\n' "$(realpath "$s")" "$d" >> "$todo"; shift 2 ;;
      -c) printf 'copy\t%s\t%s\n' "$(realpath "${2%%:*}")" "${2#*:}" >> "$todo"; shift 2 ;;
      -s) printf 'setup\t%s\t\n' "$2" >> "$todo"; shift 2 ;;
      -g) mode=$2; shift 2 ;;
      -t) limit=$2; shift 2 ;;
      -j) journal=1; shift ;;
      --) shift; break ;;
      -*) die "unknown option $1" ;;
      *) break ;;
    esac
  done
  [[ $# -gt 0 ]] || die "no command given"
  case $mode in v1|v2|hybrid) ;; *) die "-g takes v1, v2 or hybrid" ;; esac
  [[ $EUID -eq 0 ]] || die "must run as root"
  build
  sweep
  # A cgroup of its own in every hierarchy becomes the box's cgroup root.
  local cg=systemd-box-$$ m
  local hier; hier=$(hierarchies)
  [[ -n $hier ]] || die "no cgroup file system mounted under /sys/fs/cgroup"
  for m in $hier; do
    mkdir "$m/$cg" 2>/dev/null || continue
    [[ -e $m/$cg/cpuset.cpus && -e $m/cpuset.cpus ]] && {
      cat "$m/cpuset.cpus" > "$m/$cg/cpuset.cpus"; cat "$m/cpuset.mems" > "$m/$cg/cpuset.mems"; }
  done
  ( for m in $hier; do echo "$BASHPID" > "$m/$cg/cgroup.procs" 2>/dev/null; done
    exec setpriv --pdeathsig SIGKILL unshare --fork --pid --mount --net --ipc --uts --cgroup --kill-child \
      "$BASH" "$(realpath "${BASH_SOURCE[0]}")" __boot "$work" "$mode" > "$work/console" 2>&1 ) &
  local outer=$! init= i rc=125
  trap 'kill -9 $outer 2>/dev/null' EXIT
  for i in $(seq 200); do
    init=$(pgrep -P "$outer" 2>/dev/null | head -1)
    [[ -n $init && $(readlink "/proc/$init/exe") = */systemd ]] && break
    kill -0 "$outer" 2>/dev/null || break
    init=; sleep 0.05
  done
  if [[ -z $init ]]; then cat "$work/console" >&2; echo "systemd-box: the box did not boot" >&2
  else
    inbox() { nsenter -t "$init" --all -- "$@"; }
    local state=
    for i in $(seq 600); do
      state=$(inbox systemctl is-system-running 2>/dev/null)
      case $state in running|degraded) break ;; esac
      kill -0 "$init" 2>/dev/null || break
      sleep 0.1
    done
    case $state in
      running|degraded)
        [[ $state = degraded && -n ${BOX_VERBOSE:-} ]] && inbox systemctl --failed --no-legend >&2
        # a scope: CMD stays this process's child, whatever becomes of the box's bus
        timeout -k 5 "$limit" nsenter -t "$init" --all --wd=/proc/$init/root -- \
          env -i PATH="$PATH" LC_ALL=C.UTF-8 \
          systemd-run --quiet --scope --collect -p TimeoutStopSec=5 -p Delegate=no /bin/bash -c "$*"
        rc=$? ;;
      *) cat "$work/console" >&2; echo "systemd-box: system state '$state'" >&2 ;;
    esac
    [[ -n $journal ]] && inbox journalctl --no-pager -b >&2
    # an orderly end, unless the command hangs in there anyway
    [[ $rc -ne 124 && $rc -ne 137 ]] && inbox systemctl --no-block poweroff >/dev/null 2>&1 &&
    for _ in $(seq 100); do kill -0 "$outer" 2>/dev/null || break; sleep 0.1; done
  fi
  kill -9 "$outer" ${init:-} 2>/dev/null; wait "$outer" 2>/dev/null
  remove_groups "$cg"
  rm -rf --one-file-system "$work"
  trap - EXIT
  return $rc
}

case ${1:-} in
  build) build ;;
  run) shift; run "$@" ;;
  clean) [[ -n $CACHE ]] && rm -rf --one-file-system "$CACHE"/root-* ;;
  __boot) boot "$2" "$3" ;;
  *) sed -n '2,34s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
