#!/usr/bin/env bash
# What an operation costs Gatehouse and its peers, measured in one run; docs/benchmarks.md tells the method.
#   tests/bench/run.sh [ROW...] [--peers nginx,haproxy,...] [--json] [--leaves N] [--cold] [--duration S] [--reps N]
# Installs the peers, builds the release preset, mints certificates once (build/bench) and measures. --help tells more.
# GATEHOUSE_BENCH_BIN names a directory with built programs instead: nothing is installed or built then.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ " $* " != *" --help "* && " $* " != *" -h "* ]]; then
  if [ -z "${GATEHOUSE_BENCH_BIN:-}" ]; then
    deploy/install-deps.sh --bench >&2
    mkdir -p build
    { cmake --preset release -DGATEHOUSE_TESTS=ON && cmake --build --preset release \
        --target gatehouse gatehousectl bench_load bench_upstream bench_pki; } >build/bench.build.log 2>&1 ||
      { tail -n 60 build/bench.build.log >&2; echo "run.sh: the build failed; see build/bench.build.log" >&2; exit 1; }
  fi
fi
exec /usr/bin/python3 tests/bench/run.py ${GATEHOUSE_BENCH_BIN:+--bin "$GATEHOUSE_BENCH_BIN"} "$@"
