#!/usr/bin/python3
"""Compares the real gateway with the model on random configurations and requests.

    run.py [--seeds N] [--first SEED] [--requests N] [--verbose]

Each seed is one configuration, applied with gatehousectl to one running gatehouse, and a number of requests over HTTP/2 and
HTTP/1.1 from callers with and without certificates and passwords. Status, WWW-Authenticate, Allow and what the identity response says are
compared. A disagreement is printed with its seed, which reproduces it. Programs are found through GATEHOUSE_BIN.
"""
import argparse
import collections
import datetime
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import harness  # noqa: E402
import model  # noqa: E402
from client import Client  # noqa: E402
from generate import LISTENERS, Documents, Generator, make_certificates  # noqa: E402
from pki import Pki  # noqa: E402


def disagreements(config, request, expected, status, headers, body):
    """What differs, as text."""
    found = []

    def same(what, want, got):
        if want != got:
            found.append(f"{what}: the model says {want!r}, the gateway {got!r}")

    same("status", expected.status, status)
    if found:
        return found
    challenges = headers.get_all("WWW-Authenticate") or []
    # A fixed response may have any status: it is not our 401.
    same("WWW-Authenticate", expected.challenges, challenges)
    allow = {m.strip() for v in headers.get_all("Allow") or [] for m in v.split(",")}
    same("Allow", expected.allow, allow)
    if expected.identity is None:
        if request.method != "HEAD":
            same("content type", "application/problem+json", headers.get("Content-Type"))
            same("problem status", status, json.loads(body)["status"])
        return found
    action = config["routes"][expected.route]["action"]
    if request.method == "HEAD":
        same("body of HEAD", b"", body)
    elif action["kind"] == "fixed":
        same("body", action["body"].encode(), body)
    else:
        said = json.loads(body)
        parts = expected.identity
        claims = sorted(c for _, _, of_part in parts for c in of_part)
        got = sorted((c["type"], c["value"], c["issuer"], c["scheme"]) for c in said.get("claims", []))
        same("claims", claims, got)
        if parts:
            same("scheme", parts[0][0], said.get("scheme"))
            same("schemes", [p[0] for p in parts], said.get("schemes"))
            same("message", f"Hello, {parts[0][1]}", said.get("message"))
            certificate = next((p for p in parts if config["schemes"][p[0]]["kind"] == "certificate"), None)
            if certificate:
                leaf = request.certificates[0]
                same("subject", certificate[1], said.get("subject"))
                same("issuer", next((v for t, v, _, _ in certificate[2] if t == "issuer"), None), said.get("issuer"))
                same("thumbprint", leaf.sha1, said.get("thumbprint"))
    return found


def describe(request):
    chain = "+".join(c.name for c in request.certificates) or "no certificate"
    return (f"{request.protocol} {request.method} {request.path} from {request.address} host {request.host} listener {request.listener}, {chain}, "
            f"Authorization {request.authorization!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=25, help="configurations (default 25)")
    parser.add_argument("--first", type=int, default=1, help="first seed (default 1)")
    parser.add_argument("--requests", type=int, default=60, help="requests a configuration (default 60)")
    parser.add_argument("--verbose", action="store_true", help="print every request")
    args = parser.parse_args()

    folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-oracle-"))
    gatehouse = None
    begun = time.monotonic()
    wrong, asked, outcomes = [], 0, collections.Counter()
    try:
        pki = Pki(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None))
        world = make_certificates(pki)
        server = pki.make("server", eku={"server"}, dns=["localhost"])
        ports = {name: harness.free_port() for name in LISTENERS}
        documents = Documents(pki, ports, server)
        client = Client(ports, folder)
        memory = model.Memory()
        gatehouse = harness.Gatehouse(folder)
        for seed in range(args.first, args.first + args.seeds):
            rng = random.Random(seed)
            generator = Generator(rng, pki, seed, world)
            config = generator.config()
            gatehouse.apply(documents.of(config), "--replace-all")
            for number in range(args.requests):
                request = generator.request(config)
                client.prepare(request)
                request.now = datetime.datetime.now(datetime.timezone.utc)
                possible = list(model.answers(config, request, memory))
                expected = possible[0]
                status, headers, body = client.send(request)
                # A window may have opened or closed meanwhile.
                request.now = datetime.datetime.now(datetime.timezone.utc)
                possible += model.answers(config, request, memory)
                asked += 1
                outcomes[status] += 1
                if args.verbose:
                    print(f"seed {seed}.{number}: {describe(request)} -> {status}")
                if any(not disagreements(config, request, e, status, headers, body) for e in possible):
                    continue
                for what in disagreements(config, request, expected, status, headers, body):
                    wrong.append(seed)
                    print(f"DISAGREE seed {seed}.{number}: {describe(request)}\n  route {expected.route}: {what}\n  {expected.why}")
                    if expected.route:
                        print(f"  {json.dumps(documents.route(expected.route, config['routes'][expected.route]))}")
                        for name in model.schemes_of(config, config["routes"][expected.route]["require"] or {"any_of": ["-"]}):
                            scheme = config["schemes"].get(name, {})
                            store = config["trust_stores"].get(scheme.get("trust_store"), {})
                            print(f"    {name}: {scheme}", {k: [getattr(c, 'name', None) or (c[0], c[1].name) for c in v]
                                                             for k, v in store.items()})
        # A run in which whole kinds of answers never came up would prove little.
        missing = [s for s in (200, 401, 403, 404, 405) if args.seeds * args.requests >= 1000 and not outcomes[s]]
        for status in missing:
            wrong.append(status)
            print(f"no answer {status} came up")
    finally:
        code = gatehouse.stop() if gatehouse else None
        shutil.rmtree(folder, ignore_errors=True)
    if code != 0:
        print(f"gatehouse exited with {code}")
    counts = ", ".join(f"{n} x {s}" for s, n in sorted(outcomes.items()))
    print(f"oracle: {asked} requests under {args.seeds} configurations ({counts}) in {time.monotonic() - begun:.1f} s, "
          f"{len(wrong)} disagreements")
    return 1 if wrong or code != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
