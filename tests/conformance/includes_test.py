#!/usr/bin/python3
"""Checks who includes whom (docs/ARCHITECTURE.md, "What may include what")."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = {"gateway/base"}
POLICY = ["gateway/certs", "gateway/credentials", "gateway/identity", "gateway/authn", "gateway/delegate", "gateway/config"]
TRANSPORT = ["gateway/loop", "gateway/tls", "gateway/http", "gateway/upstream", "gateway/fetch"]
PROTO = {"gatehouse/v1"}

ALLOWED = {
    "gateway/base": set(),
    "gateway/certs": set(),
    "gateway/credentials": set(),
    "gateway/identity": {"gateway/certs", "gateway/credentials"},
    "gateway/authn": {"gateway/identity"},
    "gateway/delegate": {"gateway/certs", "gateway/credentials", "gateway/identity"} | PROTO,
    "gateway/config": set(POLICY) | PROTO,
    "gateway/loop": set(),
    "gateway/tls": {"gateway/loop"},
    "gateway/http": {"gateway/loop", "gateway/tls"},
    "gateway/upstream": {"gateway/loop", "gateway/tls", "gateway/http"},
    "gateway/fetch": set(),
    "gateway/events": PROTO,
    "gateway/metrics": set(),
    "gateway/monitor": {"gateway/loop", "gateway/http"},
    "gateway/server": set(POLICY) | set(TRANSPORT) | {"gateway/events", "gateway/metrics"} | PROTO,
    # The gateway's program is the control plane's client: it opens channels as every client does.
    "gateway/remote": set(POLICY) | set(TRANSPORT) | {"gateway/events", "gateway/metrics", "gateway/monitor", "gateway/server", "client/lib"} | PROTO,
    "client/yaml": PROTO,
    "client/lib": PROTO | {"client/yaml"},
    "client/cli": PROTO | {"client/yaml", "client/lib", "gateway/certs"},
}
# The control plane sees the POLICY half and the events' wire form; only its main embeds the gateway.
CONTROL = set(POLICY) | {"gateway/events"} | PROTO
# proto only where config is built and events are put on the wire.
PROTO_FILES = {"gateway/delegate": re.compile(r"/grpc_client\w*\.(h|cc)$"), "gateway/config": re.compile(r"(build|bind)\w*\.(h|cc)$|_test\.cc$"), "gateway/events": re.compile(r"(wire|json_log|\w*_test)\.(h|cc)$")}

INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)


def folder_of(path):
    return "/".join(path.split("/")[:2])


def violations():
    for path in sorted(ROOT.glob("gateway/*/*")) + sorted(ROOT.glob("control/**/*")) + sorted(ROOT.glob("client/*/*")):
        if path.suffix not in (".h", ".cc"):
            continue
        name = path.relative_to(ROOT).as_posix()
        folder = folder_of(name)
        for included in INCLUDE.findall(path.read_text()):
            target = folder_of(included)
            if target == folder or target in BASE or "/" not in included:
                continue
            if not included.startswith(("gateway/", "control/", "client/", "gatehouse/")):
                continue
            if folder.startswith("control"):
                ok = target.startswith("control/") or target in CONTROL or (
                    target in ("gateway/server", "gateway/loop", "gateway/monitor") and name.startswith(("control/main", "control/embedded")))
                order = ["control/api", "control/validate", "control/store"]
                if folder in order and target in order and order.index(target) < order.index(folder):
                    ok = False
            else:
                ok = target in ALLOWED.get(folder, set())
                rule = PROTO_FILES.get(folder)
                if target in PROTO and rule and not rule.search(name):
                    ok = False
            if not ok:
                yield f"{name} includes {included}"


def main():
    found = list(violations())
    for line in found:
        print(line)
    checked = sum(1 for p in ROOT.glob("gateway/*/*") if p.suffix in (".h", ".cc"))
    if checked < 50:
        print(f"only {checked} files of gateway were looked at: the test looks in the wrong place")
        return 1
    print(f"{checked} files of the gateway, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
