#!/usr/bin/env bash
# Proves deploy/Containerfile without a container engine: makes a Debian 12 base from Debian's packages, runs the
# Containerfile's steps with buildah in a chroot, then starts the programs from the resulting root file system with
# bubblewrap: no root, no capabilities, no network but loopback, root file system read-only, state on a tmpfs.
#
#   deploy/container-test.sh                    compiles inside the build stage (long)
#   deploy/container-test.sh --prebuilt DIR     takes gatehouse, gatehousectl (and gatehouse-gateway) from DIR
#   deploy/container-test.sh --no-buildah       makes the run stage with mmdebstrap alone; only with --prebuilt
#   deploy/container-test.sh --keep             leaves the work directory
#
# Needs root, Debian 12 and what `deploy/install-deps.sh --image` installs. Work is done in build/container; the base
# is kept there for the next run. Exit code 0: image built, gatehouse ready, a request answered, drained with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/container
prebuilt=
use_buildah=1
keep=0
while [ $# -gt 0 ]; do
  case "$1" in
    --prebuilt) prebuilt=$(realpath "${2:?--prebuilt needs a directory}"); shift ;;
    --no-buildah) use_buildah=0 ;;
    --keep) keep=1 ;;
    -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "container-test.sh: unknown option $1 (known: --prebuilt DIR, --no-buildah, --keep)" >&2; exit 2 ;;
  esac
  shift
done

die() { echo "container-test.sh: $*" >&2; exit 1; }
step() { printf '\n== %s  (%d s)\n' "$*" "$SECONDS"; }
[ "$(id -u)" -eq 0 ] || die "needs root: buildah's chroot isolation and mmdebstrap do"
for tool in mmdebstrap bwrap setpriv; do
  command -v $tool >/dev/null || die "$tool is missing; run deploy/install-deps.sh --image"
done
if [ $use_buildah -eq 1 ] && ! command -v buildah >/dev/null; then
  echo "buildah is missing: the run stage is made with mmdebstrap alone (deploy/install-deps.sh --image installs it)"
  use_buildah=0
fi
[ $use_buildah -eq 1 ] || [ -n "$prebuilt" ] || die "without buildah nothing can be compiled inside: use --prebuilt DIR"
if [ -n "$prebuilt" ]; then
  for program in gatehouse gatehousectl; do
    [ -x "$prebuilt/$program" ] || die "--prebuilt: $prebuilt/$program is not there"
  done
fi

mkdir -p "$work"
# An own store, so that nothing of the machine's images and containers is seen or changed.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
b() { buildah --root "$work/storage" --runroot "$work/runroot" --storage-driver vfs "$@"; }
container=
running=
mounted=
cleanup() {
  [ -z "$running" ] || kill "$running" 2>/dev/null || true
  [ -z "$container" ] || b rm "$container" >/dev/null 2>&1 || true
  [ -z "$mounted" ] || { umount "$mounted" 2>/dev/null; rmdir "$mounted" 2>/dev/null; } || true
  [ $keep -eq 1 ] || rm -rf "$work/storage" "$work/runroot" "$work/context" "$work/rootfs" "$work/run"
}
trap cleanup EXIT

# The packages of the run stage, as the Containerfile lists them.
packages() { sed -n '/--no-install-recommends/,/;/p' deploy/Containerfile | tr -d '\\;' | sed '1d' | xargs; }

if [ $use_buildah -eq 1 ]; then
  step "base: Debian 12 from packages"
  if [ -s "$work/base.tar" ]; then
    echo "kept from an earlier run"
  else
    mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$work/base.part.tar"
    mv "$work/base.part.tar" "$work/base.tar"
  fi
  echo "base: $(du -h "$work/base.tar" | cut -f1)"
fi

step "image"
context=$root
arguments=()
if [ -n "$prebuilt" ]; then
  context=$work/context
  rm -rf "$context"
  mkdir -p "$context/bin"
  for program in gatehouse gatehouse-gateway gatehousectl; do
    [ -x "$prebuilt/$program" ] && install -s -m 755 "$prebuilt/$program" "$context/bin/"
  done
  arguments=(--build-arg PREBUILT=1)
fi
if [ $use_buildah -eq 1 ]; then
  base=$(b from scratch)
  b add --quiet "$base" "$work/base.tar" / >/dev/null
  b commit --quiet "$base" localhost/gatehouse-base:12 >/dev/null
  b rm "$base" >/dev/null
  b bud --quiet --isolation chroot --pull-never --ignorefile "$root/.dockerignore" \
    --build-arg BASE=localhost/gatehouse-base:12 "${arguments[@]}" \
    -f "$root/deploy/Containerfile" -t localhost/gatehouse:test "$context" >"$work/build.log" 2>&1 ||
    { tail -n 40 "$work/build.log" >&2; die "the Containerfile's steps failed; $work/build.log"; }
  container=$(b from --pull-never localhost/gatehouse:test)
  rootfs=$(b mount "$container")
  b inspect --type image --format \
    'user {{.OCIv1.Config.User}}, entry point {{.OCIv1.Config.Entrypoint}}, ports {{.OCIv1.Config.ExposedPorts}}, volumes {{.OCIv1.Config.Volumes}}' \
    localhost/gatehouse:test
  echo
else
  rootfs=$work/rootfs
  rm -rf "$rootfs"
  mmdebstrap --quiet --variant=minbase --include="$(packages | tr ' ' ',')" bookworm "$rootfs"
  install -m 755 "$context"/bin/* "$rootfs/usr/local/bin/"
  install -d -m 700 -o 65532 -g 65532 "$rootfs/var/lib/gatehouse"
fi
for program in "$rootfs"/usr/local/bin/gatehouse*; do
  # Not through the programs of this machine: what is there must do.
  missing=$(chroot "$rootfs" ldd "/usr/local/bin/$(basename "$program")" | grep 'not found' || true)
  [ -z "$missing" ] || die "$(basename "$program"): $missing"
done
echo "root file system: $(du -sh "$rootfs" | cut -f1)"

step "start from that root file system, as uid 65532, read-only"
rm -rf "$work/run"
mkdir -p "$work/run"
# A place that uid 65532 can reach, whatever the modes of the directories above ours.
mounted=$(mktemp -d)
chmod 755 "$mounted"
mount --bind "$rootfs" "$mounted"
jail=(--ro-bind "$mounted" / --proc /proc --dev /dev --perms 1777 --tmpfs /tmp
  --perms 0700 --tmpfs /var/lib/gatehouse --unshare-all --cap-drop ALL --new-session --die-with-parent
  --clearenv --setenv PATH /usr/local/bin:/usr/bin:/bin --setenv HOME /var/lib/gatehouse
  --setenv GATEHOUSE_SERVER unix:/var/lib/gatehouse/run/control.sock)
# Started without any privilege where the kernel lets a user make namespaces; else bwrap gives root's up itself.
if setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs bwrap "${jail[@]}" true 2>"$work/run/bwrap.err"; then
  start=(setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs bwrap "${jail[@]}")
  echo "bwrap runs without privilege"
else
  echo "bwrap runs as root and maps to uid 65532, since: $(head -n 1 "$work/run/bwrap.err")"
  start=(bwrap --uid 65532 --gid 65532 "${jail[@]}")
fi

# All of it happens inside: the jail shares no network and no file system with us.
cat >"$work/run/inside.sh" <<'INSIDE'
set -eu
echo "uid $(id -u), capabilities $(sed -n 's/^CapEff:\t//p' /proc/self/status)"
if touch /usr/probe 2>/dev/null; then echo "the root file system is writable" >&2; exit 1; fi
cd /tmp
gatehouse --version
gatehouse --state-dir /var/lib/gatehouse >out 2>log &
pid=$!
i=0
until grep -q 'gatehouse: ready' out; do
  i=$((i + 1))
  if [ $i -gt 300 ] || ! kill -0 $pid 2>/dev/null; then cat out log >&2; echo "not ready" >&2; exit 1; fi
  sleep 0.1
done
cat out
gatehousectl cert new self-signed --subject CN=localhost --san dns:localhost --eku server --out server.pem --key-out server.key
cat >demo.yaml <<'YAML'
kind: ServerCertificate
name: localhost
certificate_chain_file: server.pem
private_key_file: server.key
---
kind: Listener
name: edge
address: 127.0.0.1:8443
server_certificates: [localhost]
---
kind: Route
name: hello
match: {path: /hello}
anonymous: true
fixed_response: {body: "hello from the container\n"}
YAML
gatehousectl apply -f demo.yaml
gatehousectl status
answer=$({ printf 'GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'; sleep 2; } |
  openssl s_client -quiet -verify_return_error -connect 127.0.0.1:8443 -servername localhost -CAfile server.pem 2>/dev/null |
  tr -d '\r' || true)
echo "$answer" | sed -n '1p;$p'
echo "$answer" | grep -q 'hello from the container' || { echo "no answer from the listener" >&2; exit 1; }
stat -c '%n %a' /var/lib/gatehouse/*
kill -TERM $pid
status=0
wait $pid || status=$?
echo "drained, exit code $status"
exit $status
INSIDE
chmod 755 "$work/run"
"${start[@]}" bash -s <"$work/run/inside.sh" >"$work/run/out" 2>&1 &
running=$!
status=0
wait "$running" || status=$?
running=
sed 's/^/   /' "$work/run/out"
[ $status -eq 0 ] || die "the programs did not run from the image (exit code $status)"

step "done"
echo "container-test: image built, gatehouse ran as a stranger without rights and ended with 0"
