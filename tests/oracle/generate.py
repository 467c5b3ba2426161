"""Random configurations and requests, and the documents that `gatehousectl apply` takes for them."""
import base64
import datetime
import json
import warnings

from model import DAYS, EVERY_METHOD, Request, path_rank

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

HOSTS = ["a.test", "b.test", "*.test", "*.b.test", "c.b.test", "*.c.b.test"]
ASKED_HOSTS = ["a.test", "b.test", "x.test", "c.b.test", "y.b.test", "z.c.b.test", "test", "elsewhere"]
PATHS = ["/", "/a", "/a/", "/a/b", "/a/{x}", "/{x}", "/{x}/b", "/a/{rest...}", "/a/b/{rest...}", "/{x}/{rest...}", "/{rest...}",
         "/a/{x}/c", "/a/b/{y}"]
ASKED_PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/z", "/z", "/z/b", "/z/z", "/a/b/c", "/a/z/c", "/a/b/d", "/a/b/c/d", "/z/z/z/z",
               "/a%20b", "/A"]
METHODS = [[], [], [], ["GET"], ["GET"], ["POST"], ["GET", "POST"], ["PUT", "DELETE"], ["HEAD"]]
ASKED_METHODS = ["GET"] * 6 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
LISTENERS = ["one", "two"]


def make_certificates(pki):
    """Everybody who may call, and the authorities; names are the model's keys."""
    ca = {n: pki.make(n, ca=True) for n in ("ca-a", "ca-b", "ca-c")}
    middle = pki.make("middle-a", ca["ca-a"], ca=True)
    old_middle = pki.make("old-middle-a", ca["ca-a"], ca=True, period="past")
    callers = {
        "nobody": [],
        "leaf-a": [pki.make("leaf-a", ca["ca-a"], dns=["a.clients.test"])],
        "leaf-a2": [pki.make("leaf-a2", ca["ca-a"], dns=["x.other.test", "two.Clients.test"], o="Other")],
        "leaf-b": [pki.make("leaf-b", ca["ca-b"])],
        "leaf-c": [pki.make("leaf-c", ca["ca-c"], dns=["c.clients.test"])],
        "leaf-a-both": [pki.make("leaf-a-both", ca["ca-a"], eku={"client", "server"})],
        "past-a": [pki.make("past-a", ca["ca-a"], period="past")],
        "future-b": [pki.make("future-b", ca["ca-b"], period="future")],
        "server-a": [pki.make("server-a", ca["ca-a"], eku={"server"})],
        "no-eku-a": [pki.make("no-eku-a", ca["ca-a"], eku=None)],
        "no-eku-b": [pki.make("no-eku-b", ca["ca-b"], eku=None)],
        "self": [pki.make("self", dns=["self.clients.test"])],
        "self-unknown": [pki.make("self-unknown")],
        "self-past": [pki.make("self-past", period="past")],
        "self-server": [pki.make("self-server", eku={"server"})],
        "self-renewed": [pki.make("self-renewed", key="self")],
    }
    below = pki.make("below-middle", middle, dns=["m.clients.test"])
    callers["middle-sent"] = [below, middle]
    callers["middle-not-sent"] = [below]
    callers["old-middle-sent"] = [pki.make("below-old", old_middle), old_middle]
    return ca, [middle, old_middle], callers


def pick_some(rng, things, least=0, most=None):
    things = list(things)
    return rng.sample(things, rng.randint(min(least, len(things)), min(len(things), most or len(things))))


class Generator:
    def __init__(self, rng, pki, round_number, world):
        self.rng, self.pki, self.tag = rng, pki, f"r{round_number}"
        self.authorities, self.middles, self.callers = world

    def config(self):
        config = {"trust_stores": self.trust_stores(), "user_stores": self.user_stores(), "policies": {}, "routes": {}}
        config["schemes"] = self.schemes(config)
        for i in range(self.rng.randint(1, 4)):
            # It may refer to those before it.
            config["policies"][f"policy{i}"] = self.condition(config, 0)
        for i in range(self.rng.randint(3, 12)):
            route = self.route(config)
            if not any(self.clash(route, other) for other in config["routes"].values()):
                config["routes"][f"route{i}"] = route
        return config

    def trust_stores(self):
        stores = {}
        leaves = [chain[0] for name, chain in self.callers.items() if chain]
        for i in range(self.rng.randint(1, 3)):
            anchors = pick_some(self.rng, self.authorities.values())
            pins = [(self.rng.choice(["certificate", "spki"]), c) for c in pick_some(self.rng, leaves, most=4)]
            # One key, or one certificate, is pinned once.
            seen, unique = set(), []
            for kind, c in pins:
                key = (kind, c.name if kind == "certificate" else c.key_id)
                if key not in seen:
                    seen.add(key)
                    unique.append((kind, c))
            if not anchors and not unique:
                anchors = [self.rng.choice(list(self.authorities.values()))]
            stores[f"store{i}"] = {"anchors": anchors, "pins": unique,
                                   "intermediates": pick_some(self.rng, self.middles, most=1)}
        return stores

    def user_stores(self):
        stores = {}
        for i in range(self.rng.randint(1, 2)):
            users = {}
            for name in pick_some(self.rng, ["ann", "bob", "carl", "dörte"], least=1):
                claims = [("group", g) for g in pick_some(self.rng, ["buyers", "sellers", "staff"])]
                passwords = [f"pass-{name}"] + (["pass:second ü"] if self.rng.random() < 0.3 else [])
                users[f"{name}.{self.tag}"] = {"passwords": passwords, "disabled": self.rng.random() < 0.15,
                                              "expired": self.rng.random() < 0.15, "claims": claims}
            stores[f"users{i}"] = users
        return stores

    def schemes(self, config):
        rng, schemes = self.rng, {}
        for i in range(rng.randint(1, 3)):
            scheme = {"kind": "certificate", "trust_store": rng.choice(list(config["trust_stores"]))}
            if rng.random() < 0.6:
                scheme["allowed_certificate_types"] = rng.choice(["ALL", "CHAINED", "SELF_SIGNED"])
            for option in ("validate_certificate_use", "validate_validity_period"):
                if rng.random() < 0.3:
                    scheme[option] = rng.random() < 0.3
            if rng.random() < 0.3:
                scheme["allow_absent_extended_key_usage"] = True
            if rng.random() < 0.15 and scheme.get("allowed_certificate_types") != "CHAINED":
                scheme["self_signed_trust"] = "ANY"
                scheme["accept_any_self_signed"] = "development"
            if rng.random() < 0.25:
                scheme["require"] = rng.choice([
                    {"san_dns": [".clients.test"]}, {"san_dns": ["a.clients.test", "SELF.clients.test"]},
                    {"subject": [{"attribute": "O", "value": {"exact": "Example"}}]},
                    {"subject": [{"attribute": "CN", "value": {"regex": "leaf-[ab]2?"}}]},
                    {"subject": [{"attribute": "CN", "value": {"prefix": "self"}}], "san_dns": [".test"]}])
            schemes[f"Cert{i}"] = scheme
        for i in range(rng.randint(1, 2)):
            scheme = {"kind": "basic", "user_store": rng.choice(list(config["user_stores"]))}
            if rng.random() < 0.5:
                scheme["realm"] = f"realm {i}"
            schemes[f"Basic{i}"] = scheme
        for scheme in schemes.values():
            if rng.random() < 0.15:
                scheme["in_any_scheme"] = False
        return schemes

    def condition(self, config, depth):
        rng = self.rng
        if depth < 2 and rng.random() < 0.4:
            return {rng.choice(["all_of", "any_of", "none_of"]): [self.condition(config, depth + 1) for _ in range(rng.randint(1, 3))]}
        kind = rng.random()
        if kind < 0.1 and config["policies"]:
            return {"policy": rng.choice(list(config["policies"]))}
        if kind < 0.25:
            return {"certificate": self.certificate_clause(config)}
        if kind < 0.35:
            return {"address": {"ranges": pick_some(rng, ["127.0.0.0/9", "127.1.0.0/16", "127.2.0.0/15", "10.0.0.0/8", "::1"], least=1)}}
        if kind < 0.5:
            return {"time": self.time_clause()}
        claim = rng.choice([
            {"type": "group", "exact": "buyers"}, {"type": "group", "regex": "b.*|st.ff"}, {"type": "group", "present": True},
            {"type": "group", "one_of": ["buyers", "STAFF"]}, {"type": "group", "matches": [{"prefix": "b"}, {"regex": "s.*s"}]},
            {"type": "name", "prefix": "ann"}, {"type": "nameidentifier", "suffix": ",O=Example"},
            {"type": "dns", "suffix": ".clients.test"}, {"type": "issuer", "prefix": "CN=ca-a"},
            {"type": "thumbprint", "exact": self.callers["leaf-a"][0].sha1}])
        if rng.random() < 0.3:
            claim = dict(claim, values=rng.choice(["ANY", "ALL", "NONE"]))
        if rng.random() < 0.3 and "regex" not in str(claim):
            claim = dict(claim, ignore_case=True)
        # Always said: whose claim counts.
        if rng.random() < 0.7:
            claim = dict(claim, scheme=rng.choice(list(config["schemes"])))
        else:
            claim = dict(claim, issuer=rng.choice(["CN=ca-a,O=Example", "users0", "users1", "CN=self,O=Example"]))
        return {"claim": claim}

    def certificate_clause(self, config):
        rng = self.rng
        leaves = [chain[0] for chain in self.callers.values() if chain]
        some = pick_some(rng, leaves, least=1, most=6)
        clause = dict(pick_some(rng, {
            "match": rng.choice([{"subject": [{"attribute": "O", "value": {"exact": "Example"}}]}, {"san_dns": [".clients.test"]},
                                 {"issuer": [{"prefix": "CN=ca-a"}, {"exact": "CN=ca-b,O=Example"}]}, {"min_key_bits": 256},
                                 {"min_key_bits": 384}]),
            "serial_numbers": [rng.choice([c.serial, c.serial.lower(), "00:" + c.serial]) for c in some],
            "thumbprints": [rng.choice([c.sha1, c.sha256.lower()]) for c in some],
            "key_types": rng.choice([["EC"], ["RSA", "EC"], ["RSA", "ED25519"]]),
            "valid_for": rng.choice(["1h", "2400h", "9000h"]),
            "extended_key_usages": rng.choice([["clientAuth"], ["serverAuth"], ["clientAuth", "serverAuth"]]),
        }.items(), most=2)) or {"accepted": True}
        if rng.random() < 0.3:
            clause["scheme"] = rng.choice(list(config["schemes"]))
        return clause

    def time_clause(self):
        rng = self.rng
        clause = {"time_zone": rng.choice(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"])}
        if rng.random() < 0.6:
            clause["days"] = pick_some(rng, DAYS, least=1)
        if rng.random() < 0.6:
            clause["from"], clause["to"] = rng.sample([f"{h:02}:{m}" for h in range(24) for m in ("00", "30")], 2)
        if rng.random() < 0.3 or len(clause) == 1:
            day = datetime.timedelta(days=1)
            clause[rng.choice(["not_before", "not_after"])] = (self.pki.now + rng.choice([-day, day])).strftime("%Y-%m-%dT%H:%M:%SZ")
        return clause

    def route(self, config):
        rng = self.rng
        route = {"hosts": pick_some(rng, HOSTS, most=2) if rng.random() < 0.6 else [], "path": rng.choice(PATHS),
                 "methods": rng.choice(METHODS), "listeners": [rng.choice(LISTENERS)] if rng.random() < 0.25 else [],
                 "anonymous": rng.random() < 0.15, "require": None,
                 "action": {"kind": "identity"} if rng.random() < 0.7 else
                           {"kind": "fixed", "status": rng.choice([200, 203, 404, 503]), "body": f"body {rng.random()}"}}
        if not route["anonymous"]:
            kind = rng.choice(["any_of", "any_of", "all_of", "any_scheme"])
            in_any = [n for n, s in config["schemes"].items() if s.get("in_any_scheme", True)]
            if kind == "any_scheme" and in_any:
                route["require"] = {"any_scheme": True}
            else:
                kind = "any_of" if kind == "any_scheme" else kind
                route["require"] = {kind: pick_some(rng, config["schemes"], least=1, most=2 if kind == "all_of" else 3)}
            if rng.random() < 0.4:
                route["require"]["policies"] = pick_some(rng, config["policies"], least=1, most=2)
        return route

    @staticmethod
    def clash(a, b):
        """The same host, path, method and listener: refused at apply, so not generated."""
        def shape(path):
            return ["{}" if s.startswith("{") and "..." not in s else s for s in path.split("/")]
        if shape(a["path"]) != shape(b["path"]):
            return False
        if (a["hosts"] or b["hosts"]) and not set(a["hosts"]) & set(b["hosts"]):
            return False
        if a["listeners"] and b["listeners"] and not set(a["listeners"]) & set(b["listeners"]):
            return False
        def methods(route):
            found = set(route["methods"]) or EVERY_METHOD
            return found | {"HEAD"} if "GET" in found else found
        return bool(methods(a) & methods(b))

    def authorization(self, config):
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return None
        if kind < 0.40:
            return rng.choice(["Bearer abc", "Basic", "Basic !!!!", "Basic YW5u", "Basic OnNlY3JldA==", "Basic YW5uOg", "Negotiate YW5u",
                               "Basic YToDYg=="])
        users = [(n, u) for store in config["user_stores"].values() for n, u in store.items()]
        name, user = rng.choice(users)
        password = rng.choice(user["passwords"])
        if kind < 0.48:
            name = rng.choice([f"stranger{rng.random()}", name.upper(), name + " "])
        elif kind < 0.56:
            password = rng.choice(["", "wrong", password + " "])
        word = rng.choice(["Basic", "Basic", "basic", "BASIC"])
        return f"{word} {base64.b64encode(f'{name}:{password}'.encode()).decode()}"

    def request(self, config):
        rng = self.rng
        routes = list(config["routes"].values())
        path, host, method = rng.choice(ASKED_PATHS), rng.choice(ASKED_HOSTS), rng.choice(ASKED_METHODS)
        if routes and rng.random() < 0.75:
            # Near a route, so that most requests find one.
            route = rng.choice(routes)
            fitting = [p for p in ASKED_PATHS if path_rank(route["path"], p) is not None]
            path = rng.choice(fitting) if fitting else path
            if route["hosts"]:
                host = rng.choice(route["hosts"]).replace("*", "q")
            if rng.random() < 0.8:
                method = rng.choice(route["methods"] or ["GET"])
        caller = rng.choice(list(self.callers))
        return Request(rng.choice(LISTENERS), host, path, method, self.callers[caller], self.authorization(config),
                       rng.choice(["http/1.1", "h2"]))


class Documents:
    """A configuration as the documents of `gatehousectl apply`."""

    def __init__(self, pki, ports, server):
        self.pki, self.ports, self.server = pki, ports, server
        self.hashes = {}

    def hash(self, password):
        if password not in self.hashes:
            # The cheapest bcrypt there is: what is tested is the decision.
            salt = base64.b64encode(password.encode() * 30).decode().replace("+", ".").replace("=", "")[:21] + "e"
            hashed = crypt.crypt(password, "$2b$04$" + salt)
            assert hashed and len(hashed) == 60, hashed
            self.hashes[password] = hashed
        return self.hashes[password]

    def of(self, config):
        documents = [{"kind": "ServerCertificate", "name": "server", "certificate_chain_pem": self.server.pem,
                      "private_key_pem": self.server.key_pem}]
        documents += [{"kind": "Listener", "name": n, "address": f"127.0.0.1:{p}", "server_certificates": ["server"]}
                      for n, p in self.ports.items()]
        for name, store in config["trust_stores"].items():
            pins = [{"pem": c.pem} if kind == "certificate" else {"spki_sha256": self.pki.spki_sha256(c)}
                    for kind, c in store["pins"]]
            documents.append({"kind": "TrustStore", "name": name, "anchors": [{"pem": c.pem} for c in store["anchors"]],
                              "intermediates": [{"pem": c.pem} for c in store["intermediates"]], "pins": pins})
        for name, users in config["user_stores"].items():
            documents.append({"kind": "UserStore", "name": name, "users": [self.user(n, u) for n, u in users.items()]})
        for name, scheme in config["schemes"].items():
            options = {k: v for k, v in scheme.items() if k not in ("kind", "in_any_scheme")}
            document = {"kind": "Scheme", "name": name,
                        "client_certificate" if scheme["kind"] == "certificate" else "basic": options}
            if "in_any_scheme" in scheme:
                document["in_any_scheme"] = scheme["in_any_scheme"]
            documents.append(document)
        documents += [{"kind": "Policy", "name": n, "condition": c} for n, c in config["policies"].items()]
        documents += [self.route(n, r) for n, r in config["routes"].items()]
        return "\n---\n".join(json.dumps({k: v for k, v in d.items() if v != []}) for d in documents)

    def user(self, name, user):
        out = {"name": name, "password_hashes": [self.hash(p) for p in user["passwords"]], "disabled": user["disabled"],
               "claims": [{"type": t, "value": v} for t, v in user["claims"]]}
        if user["expired"]:
            out["expire_time"] = "2020-01-01T00:00:00Z"
        return {k: v for k, v in out.items() if v != []}

    @staticmethod
    def route(name, route):
        match = {"path": route["path"]}
        for field in ("hosts", "methods"):
            if route[field]:
                match[field] = route[field]
        out = {"kind": "Route", "name": name, "match": match}
        if route["listeners"]:
            out["listeners"] = route["listeners"]
        if route["anonymous"]:
            out["anonymous"] = True
        else:
            out["require"] = route["require"]
        action = route["action"]
        if action["kind"] == "identity":
            out["identity_response"] = {}
        else:
            out["fixed_response"] = {"status": action["status"], "body": action["body"]}
        return out
