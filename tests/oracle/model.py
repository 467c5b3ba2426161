"""What the gateway should answer, computed from the rules of the reference and from nothing of its code.

A configuration is the plain dict that run.py also turns into documents for `gatehousectl apply`:

    trust_stores   {name: {"anchors": [ca], "intermediates": [ca], "pins": [(kind, certificate)]}}
    user_stores    {name: {user: {"passwords": [...], "disabled": bool, "expired": bool, "claims": [(type, value)]}}}
    schemes        {name: {"kind": "certificate" | "basic", ...options of the proto message}}
    policies       {name: condition}; a condition is {"claim" | "certificate" | "address" | "time": {...}}, {"policy": name} or
                   {"all_of" | "any_of" | "none_of": [...]}
    routes         {name: {"hosts", "path", "methods", "listeners", "anonymous", "require", "action"}}

Certificates are described by how they were made (pki.Made), never by parsing them.
"""
import base64
import dataclasses
import datetime
import ipaddress
import itertools
import re
import zoneinfo

NAME_IDENTIFIER = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
NAME = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
SHORT = {"nameidentifier": NAME_IDENTIFIER, "name": NAME}
EVERY_METHOD = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


@dataclasses.dataclass
class Request:
    listener: str
    host: str
    path: str
    method: str
    certificates: list  # presented, leaf first; empty: none
    authorization: str | None
    protocol: str = "http/1.1"
    address: str = "127.0.0.1"       # it comes from there
    now: datetime.datetime | None = None  # aware


@dataclasses.dataclass
class Expected:
    status: int
    route: str | None = None
    challenges: list = dataclasses.field(default_factory=list)
    allow: set = dataclasses.field(default_factory=set)
    identity: list | None = None  # [(scheme, principal, claims)], one for each scheme that succeeded
    why: str = ""


# --- which route -----------------------------------------------------------------------------------------------------

def segments(path):
    return path[1:].split("/")


def path_rank(pattern, path):
    """None when the pattern does not match, else a tuple that is greater for the more specific pattern."""
    want, have = segments(pattern), segments(path)
    prefix = want[-1].startswith("{") and want[-1].endswith("...}")
    if prefix:
        want = want[:-1]
        if len(have) <= len(want):
            return None
    elif len(want) != len(have):
        return None
    literal = []
    for w, h in zip(want, have):
        if w.startswith("{"):
            if h == "":
                return None
            literal.append(0)
        elif w == h:
            literal.append(1)
        else:
            return None
    kind = 0 if prefix else 2 if all(literal) else 1
    return (kind, len(want), tuple(literal))


def host_rank(patterns, host):
    """None when no pattern matches; exact beats the longest wildcard beats any."""
    if not patterns:
        return (0, 0)
    best = None
    for pattern in patterns:
        if pattern == host:
            rank = (2, 0)
        elif pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) > len(pattern) - 1:
            rank = (1, len(pattern))
        else:
            continue
        best = rank if best is None else max(best, rank)
    return best


def serves(route, method):
    methods = set(route["methods"])
    if not methods:
        return method not in ("CONNECT", "TRACE")
    return method in methods or (method == "HEAD" and "GET" in methods)


def find_route(config, request):
    """(name, None), (None, None) for 404, or (None, allowed methods) for 405."""
    best, names = None, []
    for name, route in config["routes"].items():
        if route["listeners"] and request.listener not in route["listeners"]:
            continue
        of_host = host_rank(route["hosts"], request.host)
        of_path = path_rank(route["path"], request.path)
        if of_host is None or of_path is None:
            continue
        rank = (of_host, of_path)
        if best is None or rank > best:
            best, names = rank, []
        if rank == best:
            names.append(name)
    if not names:
        return None, None
    for name in names:
        if serves(config["routes"][name], request.method):
            return name, None
    allow = set()
    for name in names:
        allow |= set(config["routes"][name]["methods"]) or EVERY_METHOD
    if "GET" in allow:
        allow.add("HEAD")
    return None, allow


# --- who is calling --------------------------------------------------------------------------------------------------

SUCCESS, FAILURE, NOTHING = "success", "failure", "nothing"


def matches_dns(wanted, dns):
    for w in wanted:
        for d in dns:
            w_, d_ = w.lower(), d.lower()
            if w_ == d_ or (w_.startswith(".") and d_.endswith(w_) and len(d_) > len(w_)):
                return True
    return False


class Memory:
    """What a worker may remember: a valid verdict, by scheme and leaf alone (the reference says so), so that a caller who
    sent its whole chain once may be recognised without the intermediates later. Which worker remembers is chance."""

    def __init__(self):
        self.valid = set()

    @staticmethod
    def key(config, name, leaf):
        scheme = config["schemes"][name]
        store = config["trust_stores"].get(scheme.get("trust_store"), {})
        content = {k: sorted(str(getattr(c, "name", None) or (c[0], c[1].name)) for c in v) for k, v in store.items()}
        return (name, repr(sorted(scheme.items(), key=lambda i: i[0])), repr(sorted(content.items())), leaf.name)


def store_of(config, scheme):
    return config["trust_stores"].get(scheme.get("trust_store"), {"anchors": [], "intermediates": [], "pins": []})


def is_pinned(store, leaf, itself=False):
    return any(c is leaf if kind == "certificate" else not itself and c.key_id == leaf.key_id for kind, c in store["pins"])


def by_key(config, scheme, leaf):
    """Pinned by its key alone: what it says of its holder is his own word."""
    store = store_of(config, scheme)
    return is_pinned(store, leaf) and not is_pinned(store, leaf, itself=True)


def judge_certificate(config, scheme, presented):
    """(outcome, why)."""
    if not presented:
        return NOTHING, "no certificate"
    leaf = presented[0]
    types = scheme.get("allowed_certificate_types", "ALL")
    if types == "CHAINED" and leaf.self_signed:
        return FAILURE, "type"
    if types == "SELF_SIGNED" and not leaf.self_signed:
        return FAILURE, "type"
    store = store_of(config, scheme)
    pinned = is_pinned(store, leaf)
    path = [leaf]
    if not pinned:
        if leaf.self_signed:
            if scheme.get("self_signed_trust") != "ANY":
                return FAILURE, "not pinned"
        else:
            known = list(presented[1:]) + list(store["intermediates"])
            at = leaf
            while at.issuer not in store["anchors"]:
                if at.issuer not in known:
                    return FAILURE, "unknown issuer"
                at = at.issuer
                path.append(at)
            path.append(at.issuer)
    if scheme.get("validate_validity_period", True):
        if any(c.period != "now" for c in path):
            return FAILURE, "validity"
    if scheme.get("validate_certificate_use", True):
        if leaf.eku is None:
            if not scheme.get("allow_absent_extended_key_usage", False):
                return FAILURE, "use"
        elif "client" not in leaf.eku:
            return FAILURE, "use"
    require = scheme.get("require", {})
    if require.get("san_dns") and not matches_dns(require["san_dns"], leaf.dns):
        return FAILURE, "require san_dns"
    for wanted in require.get("subject", []):
        values = [v for t, v in leaf.subject_attributes if t == wanted["attribute"]]  # most specific first
        if wanted["attribute"] == "CN":
            values = values[:1]
        if not any(compare(wanted["value"], v) for v in values):
            return FAILURE, "require subject"
    revocation = scheme.get("revocation", {})
    if revocation.get("mode") == "ONLINE" and not pinned:
        # Whether the answer comes at once or makes the request wait is the same in the end.
        if leaf.revocation == "revoked":
            return FAILURE, "revoked"
        if leaf.revocation not in ("good", "slow") and revocation.get("on_unknown") != "ALLOW":
            return FAILURE, "nobody says whether it is revoked"
    return SUCCESS, ""


def compare(matcher, value):
    (how, text), = matcher.items()
    if how == "exact":
        return value == text
    if how == "prefix":
        return value.startswith(text)
    if how == "suffix":
        return value.endswith(text)
    return re.fullmatch(text, value, re.DOTALL) is not None


def certificate_claims(scheme_name, leaf, key=None):
    if key:
        pairs = [(NAME_IDENTIFIER, key), (NAME, key), ("thumbprint", leaf.sha1), ("thumbprint_sha256", leaf.sha256)]
        return [(t, v, key, scheme_name) for t, v in pairs]
    pairs = [(NAME_IDENTIFIER, leaf.subject), (NAME, leaf.subject), ("thumbprint", leaf.sha1), ("issuer", leaf.issuer_name),
             ("serialnumber", leaf.serial), ("thumbprint_sha256", leaf.sha256), ("notbefore", leaf.not_before),
             ("notafter", leaf.not_after)] + [("dns", d) for d in leaf.dns]
    return [(t, v, leaf.issuer_name, scheme_name) for t, v in pairs]


def parse_basic(authorization):
    """(user, password), "other" or "malformed"."""
    if authorization is None:
        return "other"
    word, _, rest = authorization.partition(" ")
    if word.lower() != "basic":
        return "other"
    rest = rest.strip(" ")
    try:
        decoded = base64.b64decode(rest, validate=True)
        if base64.b64encode(decoded).decode() != rest:
            return "malformed"
        text = decoded.decode("utf-8")
    except ValueError:
        return "malformed"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text) or ":" not in text:
        return "malformed"
    user, password = text.split(":", 1)
    return (user, password) if user else "malformed"


def judge_basic(config, scheme, authorization):
    credentials = parse_basic(authorization)
    if credentials == "other":
        return NOTHING, "no credentials", None
    if credentials == "malformed":
        return FAILURE, "malformed", None
    name, password = credentials
    user = config["user_stores"][scheme["user_store"]].get(name)
    if user is None:
        return FAILURE, "unknown user", None
    if user["disabled"] or user["expired"]:
        return FAILURE, "disabled or expired", None
    if password not in user["passwords"] or password == "":
        return FAILURE, "password", None
    return SUCCESS, "", name


def ask(config, name, request, recognised):
    """(outcome, why, part) of one scheme; a part is (scheme, principal, claims)."""
    scheme = config["schemes"][name]
    if scheme["kind"] == "certificate":
        outcome, why = judge_certificate(config, scheme, request.certificates)
        if outcome == FAILURE and name in recognised:
            outcome = SUCCESS
        if outcome != SUCCESS:
            return outcome, why, None
        leaf = request.certificates[0]
        key = f"spki-sha256:{leaf.spki}" if by_key(config, scheme, leaf) else None
        return SUCCESS, "", (name, key or leaf.subject, certificate_claims(name, leaf, key))
    outcome, why, user = judge_basic(config, scheme, request.authorization)
    if outcome != SUCCESS:
        return outcome, why, None
    store = scheme["user_store"]
    pairs = [(NAME_IDENTIFIER, user), (NAME, user)] + config["user_stores"][store][user]["claims"]
    return SUCCESS, "", (name, user, [(t, v, store, name) for t, v in pairs])


# --- the answer ------------------------------------------------------------------------------------------------------

DAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
USAGES = {"client": "clientAuth", "server": "serverAuth"}


def fold(text):
    """ASCII letters alone."""
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


def claim_matches(clause, value):
    ways = [{"exact": v} for v in clause.get("one_of", [])] + clause.get("matches", [])
    ways += [{h: clause[h]} for h in ("exact", "prefix", "suffix", "regex") if h in clause]
    if clause.get("present"):
        return True
    if not clause.get("ignore_case"):
        return any(compare(w, value) for w in ways)
    return any(compare({h: fold(t)}, fold(value)) for w in ways for h, t in w.items())


def claim_holds(clause, parts):
    wanted = SHORT.get(clause["type"], clause["type"])
    found = [claim_matches(clause, text) for _, _, claims in parts for type_, text, issuer, scheme in claims
             if type_ == wanted and clause.get("scheme", scheme) == scheme and clause.get("issuer", issuer) == issuer]
    quantifier = clause.get("values", "ANY")
    if quantifier == "NONE":
        return not any(found)
    return any(found) if quantifier == "ANY" else bool(found) and all(found)


# What a condition comes to. What cannot be told never holds, negated or not.
NOT_MET, UNKNOWN, MET = range(3)


def certificate_holds(config, clause, parts, request):
    accepted = [name for name, _, _ in parts if config["schemes"][name]["kind"] == "certificate" and clause.get("scheme", name) == name]
    if not accepted:
        return NOT_MET
    leaf = request.certificates[0]
    words = {"subject", "san_dns", "issuer"} & {k for k, v in clause.get("match", {}).items() if v}
    words |= {k for k in ("serial_numbers", "valid_for", "extended_key_usages") if clause.get(k)}
    return max(UNKNOWN if words and by_key(config, config["schemes"][name], leaf) else MET if leaf_holds(clause, leaf, request) else NOT_MET
               for name in accepted)


def leaf_holds(clause, leaf, request):
    match = clause.get("match", {})
    for wanted in match.get("subject", []):
        values = [v for t, v in leaf.subject_attributes if t == wanted["attribute"]]
        if not any(compare(wanted["value"], v) for v in (values[:1] if wanted["attribute"] == "CN" else values)):
            return False
    if match.get("san_dns") and not matches_dns(match["san_dns"], leaf.dns):
        return False
    if match.get("issuer") and not any(compare(m, leaf.issuer_name) for m in match["issuer"]):
        return False
    if match.get("min_key_bits", 0) > 256:
        return False
    def plain(hex_):
        return hex_.replace(":", "").upper()
    if clause.get("serial_numbers") and leaf.serial.lstrip("0") not in [plain(n).lstrip("0") for n in clause["serial_numbers"]]:
        return False
    if clause.get("thumbprints") and not {leaf.sha1, leaf.sha256} & {plain(t) for t in clause["thumbprints"]}:
        return False
    if clause.get("key_types") and "EC" not in clause["key_types"]:
        return False
    if clause.get("valid_for"):
        end = datetime.datetime.strptime(leaf.not_after, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        if end - request.now < datetime.timedelta(hours=int(clause["valid_for"][:-1])):
            return False
    return set(clause.get("extended_key_usages", [])) <= {USAGES[e] for e in leaf.eku or ()}


def time_holds(clause, now):
    def moment(text):
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    if "not_before" in clause and now < moment(clause["not_before"]):
        return False
    if "not_after" in clause and now > moment(clause["not_after"]):
        return False
    local = now.astimezone(zoneinfo.ZoneInfo(clause.get("time_zone", "UTC")))
    days = clause.get("days") or DAYS
    today = DAYS[local.weekday()] in days
    if "from" not in clause:
        return today
    def seconds(text):
        return sum(int(n) * 60 ** (2 - i) for i, n in enumerate(text.split(":")))
    clock, begin, end = local.hour * 3600 + local.minute * 60 + local.second, seconds(clause["from"]), seconds(clause["to"])
    if begin < end:
        return today and begin <= clock < end
    yesterday = DAYS[local.weekday() - 1] in days
    return (today and clock >= begin) or (yesterday and clock < end)


def holds(config, condition, parts, request):
    """`parts` are those of the schemes that succeeded and count."""
    (kind, value), = condition.items()
    if kind in ("all_of", "any_of", "none_of"):
        each = [holds(config, c, parts, request) for c in value]
        return min(each, default=MET) if kind == "all_of" else max(each, default=NOT_MET) if kind == "any_of" else MET - max(each, default=NOT_MET)
    if kind == "policy":
        return holds(config, config["policies"][value], parts, request)
    if kind == "claim":
        return MET if claim_holds(value, parts) else NOT_MET
    if kind == "certificate":
        return certificate_holds(config, value, parts, request)
    if kind == "address":
        return MET if any(ipaddress.ip_address(request.address) in ipaddress.ip_network(r) for r in value["ranges"]) else NOT_MET
    return MET if time_holds(value, request.now) else NOT_MET


def schemes_of(config, require):
    """In the order in which they are asked; any_scheme goes by name."""
    if require.get("any_scheme"):
        return sorted(n for n, s in config["schemes"].items() if s.get("in_any_scheme", True))
    return require.get("any_of") or require.get("all_of")


def challenge(config, name):
    scheme = config["schemes"][name]
    if scheme["kind"] == "certificate":
        return f'ClientCertificate realm="{name}"'
    return f'Basic realm="{scheme.get("realm") or name}", charset="UTF-8"'


def answers(config, request, memory):
    """What is right, first what is right without any memory."""
    yield answer(config, request)
    if not request.certificates:
        return
    known = []
    for name, scheme in config["schemes"].items():
        if scheme["kind"] != "certificate":
            continue
        key = memory.key(config, name, request.certificates[0])
        if judge_certificate(config, scheme, request.certificates)[0] == SUCCESS:
            # Any scheme may have been asked already to decide whether the session is kept, whatever the request was.
            memory.valid.add(key)
        elif key in memory.valid:
            known.append(name)
    for count in range(1, len(known) + 1):
        for some in itertools.combinations(known, count):
            yield answer(config, request, some)


def answer(config, request, recognised=()):
    name, allow = find_route(config, request)
    if allow is not None:
        return Expected(405, allow=allow)
    if name is None:
        return Expected(404)
    route = config["routes"][name]
    status = route["action"].get("status", 200)
    if route["anonymous"]:
        return Expected(status, name, identity=[])
    require = route["require"]
    names = schemes_of(config, require)
    challenges = [challenge(config, n) for n in names]
    parts, why = [], []
    for scheme in names:
        outcome, reason, part = ask(config, scheme, request, recognised)
        if outcome == SUCCESS:
            parts.append(part)
            if "all_of" not in require:
                break
        else:
            why.append(f"{scheme}: {reason}")
    admitted = len(parts) == len(names) if "all_of" in require else len(parts) == 1
    if not admitted:
        return Expected(401, name, challenges, why="; ".join(why))
    for policy in require.get("policies", []):
        if holds(config, config["policies"][policy], parts, request) != MET:
            return Expected(403, name, why=f"policy {policy}")
    return Expected(status, name, identity=parts)
