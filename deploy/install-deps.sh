#!/usr/bin/env bash
# Installs everything that building and testing Gatehouse needs, from Debian 12's packages. Idempotent: a second run
# finds all there and takes a second. Needs root (or sudo).
#   deploy/install-deps.sh            build, quick start and tests
#   deploy/install-deps.sh --run      build and quick start only
#   deploy/install-deps.sh --bench    also the peers that tests/bench compares with
#   deploy/install-deps.sh --coverage also what tests/coverage.sh needs
#   deploy/install-deps.sh --image    also what building the container image without an engine needs
set -euo pipefail

build=(build-essential g++ cmake ninja-build ccache mold pkg-config git ca-certificates
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libprotoc-dev libabsl-dev
  libssl-dev libnghttp2-dev libev-dev libboost1.81-dev libboost-url1.81-dev libcurl4-openssl-dev libsqlite3-dev libcrypt-dev
  libargon2-dev libre2-dev libyaml-cpp-dev libcli11-dev libspdlog-dev prometheus-cpp-dev nlohmann-json3-dev)
run=(openssl curl jq procps tzdata)
tests=(libgtest-dev libgmock-dev libbenchmark-dev clang-14 libclang-rt-14-dev python3 python3-grpcio python3-protobuf
  python3-cryptography python3-cryptography-vectors python3-h2 python3-hpack python3-websockets python3-wsproto python3-yaml nghttp2-client nghttp2-server apache2-utils whois argon2
  grpc-proto sqlite3 util-linux iproute2
  golang-go golang-google-grpc-dev golang-google-protobuf-dev mandoc zsh fish)
bench=(nginx haproxy nghttp2-proxy h2o caddy)
coverage=(gcovr)
image=(buildah mmdebstrap bubblewrap)

packages=("${build[@]}" "${run[@]}")
case " $* " in *" --run "*) ;; *) packages+=("${tests[@]}") ;; esac
for arg in "$@"; do
  case "$arg" in
    --run) ;;
    --bench) packages+=("${bench[@]}") ;;
    --coverage) packages+=("${coverage[@]}") ;;
    --image) packages+=("${image[@]}") ;;
    *) echo "install-deps.sh: unknown option $arg (known: --run, --bench, --coverage, --image)" >&2; exit 2 ;;
  esac
done

missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install-deps: all ${#packages[@]} packages are there"
  exit 0
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps.sh: needs root, and there is no sudo" >&2; exit 1; }
  sudo=(sudo)
fi
echo "install-deps: installing ${#missing[@]} of ${#packages[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
# Services of installed servers must not start by themselves.
policy=/usr/sbin/policy-rc.d
made_policy=0
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
  "${sudo[@]}" chmod 755 $policy
  made_policy=1
fi
status=0
"${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" || status=$?
[ $made_policy -eq 1 ] && "${sudo[@]}" rm -f $policy
exit $status
