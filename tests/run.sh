#!/usr/bin/env bash
# Installs, builds and runs every test; ends with ctest's summary. Idempotent: what is built stays built.
#
#   tests/run.sh                  unit, integration, oracle and conformance tests (preset dev)
#   tests/run.sh --sanitize       first what has threads under tsan, every fuzzer for ten seconds, and all of the above
#                                 under asan and ubsan
#   tests/run.sh -- -R store      the same; what stands after -- goes to ctest
set -euo pipefail
cd "$(dirname "$0")/.."

sanitize=0
ctest_args=()
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize) sanitize=1 ;;
    --) shift; ctest_args=("$@"); break ;;
    *) echo "tests/run.sh: unknown option $1 (known: --sanitize, --)" >&2; exit 2 ;;
  esac
  shift
done

start=$SECONDS
step() { printf '\n== %s  (%d s)\n' "$*" "$((SECONDS - start))"; }
export NINJA_STATUS='[%f/%t %es] '
# A build that prints a line a file fills a log; one line a hundred files shows that it moves.
build() { # preset targets...
  local preset=$1; shift
  cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 || { cat "build/$preset.configure.log"; exit 1; }
  if [ -t 1 ]; then
    cmake --build --preset "$preset" ${@:+--target "$@"}
  else
    cmake --build --preset "$preset" ${@:+--target "$@"} >"build/$preset.build.log" 2>&1 &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
      sleep 5
      printf '   %s\n' "$(grep -oE '^\[[0-9]+/[0-9]+ [0-9.]+s\]' "build/$preset.build.log" | tail -n 1)"
    done | awk '{ if ($0 != last && (NR % 6 == 1)) { print; fflush(); last = $0 } }' &
    local show=$!
    wait $pid || { wait $show || true; grep -A30 -E 'FAILED|error' "build/$preset.build.log" | head -100; exit 1; }
    wait $show || true
  fi
}

mkdir -p build
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
step "packages"
deploy/install-deps.sh

if [ $sanitize -eq 1 ]; then
  step "build: tsan"
  build tsan tsan_tests
  step "tests: tsan"
  ctest --preset tsan -j2 -L tsan
  step "build: fuzzers"
  build fuzz fuzzers
  step "tests: fuzzers"
  ctest --preset fuzz -j2 -L fuzz
  step "build: asan"
  build asan
  step "tests: asan"
  ctest --preset asan -j2 -LE 'fuzz|plain'
fi

step "build: dev"
build dev
# The whole suite comes last, so that its summary is the last thing printed.
step "tests: dev"
# Tests with real processes share a machine with whatever else it does: one that fails is tried once more, and ctest says so.
exec ctest --preset dev -j2 -LE fuzz --repeat until-pass:2 "${ctest_args[@]}"
