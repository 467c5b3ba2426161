#!/usr/bin/env bash
# Builds the preset `coverage`, runs tests in it and prints, a folder a line, how much of our own code they ran.
#
#   tests/coverage.sh                     unit tests
#   tests/coverage.sh -L 'unit|integration'      what stands here goes to ctest
#   TARGETS="http_test path_test" tests/coverage.sh -R '^http'     only these are built
#
# A page a file is written to build/coverage/html. Needs gcovr: deploy/install-deps.sh --coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v gcovr >/dev/null || { echo "tests/coverage.sh: gcovr is missing; run deploy/install-deps.sh --coverage" >&2; exit 1; }
[ $# -gt 0 ] || set -- -L unit

mkdir -p build
export CCACHE_DISABLE=1  # a cached object names the notes file of another tree
cmake --preset coverage >build/coverage.configure.log 2>&1 || { cat build/coverage.configure.log; exit 1; }
# shellcheck disable=SC2086
cmake --build --preset coverage ${TARGETS:+--target $TARGETS}
find build/coverage -name '*.gcda' -delete
status=0
ctest --preset coverage -j2 "$@" || status=$?

mkdir -p build/coverage/html
gcovr --root . --object-directory build/coverage --filter '(gateway|control|client)/' --exclude '.*_(test|fixture|recorder)\.(cc|h)$' \
  --exclude '.*/(test_pki|fake_.*|fault_disk)\.(cc|h)$' --exclude-throw-branches --exclude-unreachable-branches \
  --json-summary build/coverage/summary.json --html-details build/coverage/html/index.html >/dev/null
/usr/bin/python3 - build/coverage/summary.json <<'PYTHON'
import collections
import json
import sys

folders = collections.defaultdict(lambda: [0, 0, 0, 0])
for file in json.load(open(sys.argv[1]))["files"]:
    folder = "/".join(file["filename"].split("/")[:-1])
    for total in (folders[folder], folders["all"]):
        for i, key in enumerate(("line_covered", "line_total", "branch_covered", "branch_total")):
            total[i] += file[key]


def percent(covered, total):
    return f"{100 * covered / total:6.1f} %" if total else "      –"


print(f"\n{'folder':24}{'lines':>8}{'run':>10}{'branches':>10}{'taken':>10}")
for folder, (lines, all_lines, branches, all_branches) in sorted(folders.items(), key=lambda f: (f[0] == "all", f[0])):
    print(f"{folder:24}{all_lines:8}{percent(lines, all_lines):>10}{all_branches:10}{percent(branches, all_branches):>10}")
PYTHON
echo "each file: build/coverage/html/index.html"
exit $status
