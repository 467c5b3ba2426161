#!/usr/bin/python3
"""Every way to combine what a caller presents, what becomes of it, how a route combines schemes, and its policies.

    matrix.py [--sample FRACTION] [--seed SEED] [--threads N]

Certificates x passwords x requirements x policies x protocols, each cell one request on a connection of its own, compared with
the model. Certificates come in every state of revocation: answered at once, late, revoked, and never (then on_unknown decides at
the deadline and evaluation goes on); each is the leaf of one cell only, so that nothing is known of it before.
"""
import argparse
import base64
import collections
import concurrent.futures
import datetime
import itertools
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import harness  # noqa: E402
import model  # noqa: E402
from client import Client  # noqa: E402
from generate import Documents  # noqa: E402
from pki import Pki  # noqa: E402
from responder import Responder, Silence  # noqa: E402
from run import describe, disagreements  # noqa: E402

# Who is answered is given all the time that a busy machine may need; silence is awaited for a moment only.
PATIENT, BRIEF = "20s", "300ms"

# What is presented: (scheme it is meant for, issuer, what is said of its revocation).
CERTIFICATES = {
    "none": ("Plain", None, ""), "valid": ("Plain", "ca", ""), "foreign": ("Plain", "stranger", ""),
    "good": ("Refuse", "ca", "good"), "late": ("Refuse", "ca", "slow"), "revoked": ("Refuse", "ca", "revoked"),
    "silent": ("Refuse", "ca", "hang"), "silent, allowed": ("Allow", "ca", "hang"), "revoked, allowed": ("Allow", "ca", "revoked"),
}
# Failures are counted by user, too: no one user has many.
USERS = 60
PASSWORDS = {"none": None, "right": "ann:pass", "wrong": "ann{}:pasta", "disabled": "off{}:pass"}
POLICIES = {
    "none": [], "certificate": ["has-certificate"], "no certificate": ["has-no-certificate"], "ann": ["is-ann"],
    "both": ["is-ann", "has-certificate"], "nested": ["nested"],
}
CONDITIONS = {
    "has-certificate": {"certificate": {"accepted": True}},
    "has-no-certificate": {"none_of": [{"certificate": {"accepted": True}}]},
    "is-ann": {"claim": {"type": "name", "scheme": "Basic", "one_of": ["ann", "bob"]}},
    "never": {"time": {"not_after": "2020-01-01T00:00:00Z"}},
    "nested": {"all_of": [{"address": {"ranges": ["127.0.0.0/8"]}}, {"none_of": [{"policy": "never"}, {"claim": {
        "type": "group", "scheme": "Basic", "exact": "suspended"}}]}]},
}


def requirements(scheme):
    yield from ({"any_of": [scheme]}, {"any_of": ["Basic"]}, {"any_of": [scheme, "Basic"]}, {"any_of": ["Basic", scheme]},
                {"all_of": [scheme, "Basic"]}, {"all_of": ["Basic", scheme]}, {"any_scheme": True})


def configuration(authorities, timeout):
    online = {"mode": "ONLINE", "timeout": timeout, "fetch": {"allowed_ranges": ["127.0.0.0/8"]}}
    config = {
        "trust_stores": {"partners": {"anchors": [authorities["ca"]], "intermediates": [], "pins": []}},
        "user_stores": {"staff": {n: {"passwords": ["pass"], "disabled": n[0] == "o", "expired": False, "claims": [("group", "staff")]}
                                  for n in ["ann", *(f"{w}{i}" for w in ("ann", "off") for i in range(USERS))]}},
        "schemes": {"Plain": {"kind": "certificate", "trust_store": "partners"},
                    "Refuse": {"kind": "certificate", "trust_store": "partners", "revocation": dict(online, on_unknown="REFUSE")},
                    "Allow": {"kind": "certificate", "trust_store": "partners", "revocation": dict(online, on_unknown="ALLOW")},
                    "Basic": {"kind": "basic", "user_store": "staff"}},
        "policies": dict(CONDITIONS), "routes": {}}
    for scheme in ("Plain", "Refuse", "Allow"):
        for require, (name, policies) in itertools.product(requirements(scheme), POLICIES.items()):
            key = route_name(require, name)
            config["routes"][key] = {"hosts": [], "path": f"/{key}", "methods": [], "listeners": [], "anonymous": False,
                                     "require": dict(require, **({"policies": policies} if policies else {})), "action": {"kind": "identity"}}
    return config


def route_name(require, policy):
    (how, schemes), = require.items()
    return "-".join([how.replace("_", ""), *(schemes if isinstance(schemes, list) else []), policy.replace(" ", "")])


class Matrix:
    def __init__(self, folder):
        self.pki = Pki(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None))
        self.authorities = {n: self.pki.make(n, ca=True) for n in ("ca", "stranger")}
        self.responder, self.silence = Responder(self.authorities["ca"]), Silence(240)
        self.ports = {"one": harness.free_port()}
        self.client, self.lock, self.made, self.hung, self.users = Client(self.ports, folder), threading.Lock(), 0, 0, 0
        self.server, self.config = self.pki.make("server", eku={"server"}, dns=["localhost"]), None

    def documents(self, timeout):
        """Of the configuration from here on."""
        self.config = configuration(self.authorities, timeout)
        return Documents(self.pki, self.ports, self.server).of(self.config)

    def chain(self, certificate):
        _, issuer, revocation = CERTIFICATES[certificate]
        if issuer is None:
            return []
        with self.lock:
            self.made += 1
            url = None
            if revocation == "hang":
                url = self.silence.url(self.hung)
                self.hung += 1
            elif revocation:
                url = self.responder.url
            leaf = self.pki.make(f"leaf-{self.made}", self.authorities[issuer], key="leaf", dns=["a.clients.test"],
                                 revocation=revocation, ocsp=url)
            self.responder.leaves[leaf.certificate.serial_number] = leaf
        return [leaf]

    def request(self, certificate, password, require, policy, protocol):
        text = PASSWORDS[password]
        with self.lock:
            self.users += 1
            text = text and text.format(self.users % USERS)
        authorization = None if text is None else f"Basic {base64.b64encode(text.encode()).decode()}"
        return model.Request("one", "a.test", f"/{route_name(require, policy)}", "GET", self.chain(certificate), authorization, protocol)

    def check(self, cell):
        """(cell, status, seconds, what differs)."""
        request = self.request(*cell)
        self.client.prepare(request)
        request.now = datetime.datetime.now(datetime.timezone.utc)
        expected = model.answer(self.config, request)
        began = time.monotonic()
        status, headers, body = self.client.send(request, keep=False)
        seconds = time.monotonic() - began
        found = disagreements(self.config, request, expected, status, headers, body)
        return cell, status, seconds, [f"{describe(request)}\n  {expected.why}\n  {what}" for what in found]

    def close(self):
        self.responder.close()
        self.silence.close()


def cells():
    for certificate, (scheme, _, _) in CERTIFICATES.items():
        for require in requirements(scheme):
            yield from ((certificate, password, require, policy, protocol)
                        for password, policy, protocol in itertools.product(PASSWORDS, POLICIES, ("http/1.1", "h2")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=float, default=1, help="part of the cells, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--threads", type=int, default=24)
    args = parser.parse_args()
    every = list(cells())
    if args.sample < 1:
        every = random.Random(args.seed).sample(every, max(1, int(len(every) * args.sample)))

    folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-matrix-"))
    gatehouse, matrix = None, None
    began, wrong, outcomes, waited = time.monotonic(), 0, collections.Counter(), collections.Counter()
    try:
        matrix = Matrix(folder)
        gatehouse = harness.Gatehouse(folder)
        for timeout, silent in ((PATIENT, False), (BRIEF, True)):
            gatehouse.apply(matrix.documents(timeout), "--replace-all")
            some = [cell for cell in every if (CERTIFICATES[cell[0]][2] == "hang") == silent]
            with concurrent.futures.ThreadPoolExecutor(args.threads) as pool:
                for cell, status, seconds, differences in pool.map(matrix.check, some):
                    outcomes[status] += 1
                    if CERTIFICATES[cell[0]][2] in ("hang", "slow") and seconds > 0.1:
                        waited[CERTIFICATES[cell[0]][2]] += 1
                    for difference in differences:
                        wrong += 1
                        if wrong <= 20:
                            print(f"DISAGREE {json.dumps(cell)}\n  {difference}")
        # A run in which nothing was ever awaited would prove little.
        silent = matrix.silence.callers()
        if args.sample == 1 and (silent < matrix.hung / 4 or not waited["hang"] or not waited["slow"] or not matrix.responder.asked):
            wrong += 1
            print(f"too little was awaited: {silent} of {matrix.hung} silent responders were asked, {dict(waited)} requests waited")
        for status in (200, 401, 403):
            if not outcomes[status]:
                wrong += 1
                print(f"no answer {status} came up")
    finally:
        code = gatehouse.stop() if gatehouse else None
        if matrix:
            matrix.close()
        shutil.rmtree(folder, ignore_errors=True)
    if code != 0:
        print(f"gatehouse exited with {code}")
    counts = ", ".join(f"{n} x {s}" for s, n in sorted(outcomes.items()))
    print(f"matrix: {len(every)} cells ({counts}), {waited['hang']} waited for silence and {waited['slow']} for late answers, in "
          f"{time.monotonic() - began:.1f} s, {wrong} disagreements")
    return 1 if wrong or code != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
