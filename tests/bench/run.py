"""Runs Gatehouse and its peers in one run and compares what an operation costs them. See run.sh for the options."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

from gatehouse import OURS
from servers import LOAD_CORE, PASSWORD, PEERS, USER, Failure, free_port, listens

ROWS = ("full-handshake", "resumed-handshake", "h2-direct", "h1-direct", "h2-proxied", "h1-proxied", "h2-basic-bcrypt",
        "h2-download", "h1-download", "h1-upload", "idle-memory-h1", "idle-memory-h2")
LEAVES_FOR_REQUESTS = 100
IDLE_CONNECTIONS = 5000
LARGE_MIB = 8  # as bench_upstream answers /large
ROOT = pathlib.Path(__file__).resolve().parents[2]


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="run.sh", description="CPU and memory of Gatehouse beside its peers, in one run.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"rows to measure (default: all): {', '.join(ROWS)}")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; \"\" for none (default: %(default)s)")
    parser.add_argument("--only-peers", action="store_true", help="without Gatehouse")
    parser.add_argument("--json", action="store_true", help="one JSON object a row instead of the table")
    parser.add_argument("--leaves", type=int, default=1000, help="distinct client certificates of the handshake rows")
    parser.add_argument("--cold", action="store_true", help="full-handshake: measure clients that were never seen before")
    parser.add_argument("--duration", type=float, default=2, help="seconds of a measurement (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=5, help="rounds; medians are told (default: %(default)s)")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "release" / "bin", help="programs (default: build/release/bin)")
    arguments = parser.parse_args()
    for row in arguments.rows:
        if row not in ROWS:
            parser.error(f"unknown row {row}; known: {', '.join(ROWS)}")
    arguments.rows = arguments.rows or list(ROWS)
    arguments.peers = [p for p in arguments.peers.split(",") if p]
    for peer in arguments.peers:
        if peer not in PEERS:
            parser.error(f"unknown peer {peer}; known: {', '.join(PEERS)}")
    if arguments.leaves < 64 or arguments.reps < 1 or arguments.duration <= 0:
        parser.error("--leaves wants at least 64 (the connections at one time), --reps 1, --duration more than 0")
    return arguments


class Bench:
    """What all servers of a run share."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.bin = arguments.bin.resolve()
        self.build = ROOT / "build" / "bench"
        self.pki = self.build / f"pki-{arguments.leaves}"
        self.upstream_port = free_port()
        self.upstream = None
        self.servers = []

    def mint(self):
        """Once; again when the certificates are near their end."""
        done = self.pki / "leaves.pem"
        if done.exists() and time.time() - done.stat().st_mtime < 180 * 86400:
            return
        self.pki.mkdir(parents=True, exist_ok=True)
        subprocess.run([self.bin / "bench_pki", self.pki, str(self.arguments.leaves)], check=True)

    def __enter__(self):
        self.build.mkdir(parents=True, exist_ok=True)
        self.mint()
        self.upstream = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), self.bin / "bench_upstream", str(self.upstream_port)],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        while not listens(self.upstream_port):
            if self.upstream.poll() is not None:
                raise Failure("the upstream did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        if self.upstream is not None:
            self.upstream.kill()
            self.upstream.wait()

    def start(self, names):
        for name in names:
            server = (OURS | PEERS)[name](self)
            self.servers.append(server)
            server.start()

    def stop(self):
        for server in self.servers:
            server.stop()
        self.servers = []

    def load_command(self, server, mode, *options, port=None, leaves=LEAVES_FOR_REQUESTS):
        command = ["taskset", "-c", str(LOAD_CORE), str(self.bin / "bench_load"), "--mode", mode, "--port", str(port or server.port)]
        if server.client_certificate:
            command += ["--leaves", str(self.pki / "leaves.pem"), "--chain", str(self.pki / "intermediate.pem"),
                        "--leaf-limit", str(leaves)]
        if server.close_first:
            command.append("--close-first")
        return command + [str(o) for o in options]

    def load(self, server, mode, *options, **keywords):
        command = self.load_command(server, mode, *options, "--pids", ",".join(map(str, server.pids())), **keywords)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode not in (0, 1) or not done.stdout.strip():
            raise Failure(f"{server.name}: the load generator failed: {done.stderr.strip()}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def check(bench, server):
    """A number means nothing before the server is seen to do the job."""
    for http2 in ((), ("--http2",)):
        answer = bench.load(server, "once", "--path", "/", *http2, port=server.static_port())
        if answer["ok"] != 1:
            raise Failure(f"{server.name} does not answer /: {answer}")
        if server.tells_subject:
            answer = bench.load(server, "once", "--path", "/echo", *http2)
            if not re.search(r"x-client-subject:[^\n]*client-0", answer["body"], re.IGNORECASE):
                raise Failure(f"{server.name} does not tell the upstream who the client is: {answer}")
    if server.client_certificate:
        without = bench.load_command(server, "once", "--path", "/")
        for option in ("--leaves", "--chain", "--leaf-limit"):
            at = without.index(option)
            del without[at:at + 2]
        done = subprocess.run(without, capture_output=True, text=True, timeout=60)
        if '"ok": 1' in done.stdout:
            raise Failure(f"{server.name} lets a client in that has no certificate")


def full_handshake(bench, server, round_number):
    arguments = bench.arguments
    options = ["--time", arguments.duration, "--connections", 64]
    if arguments.cold:
        # Each round begins where no earlier one can have come to.
        options += ["--warm", 0, "--first-leaf", round_number * (arguments.leaves // arguments.reps)]
    else:
        options += ["--warm-answers", arguments.leaves]
    result = bench.load(server, "handshake", *options, port=server.static_port(), leaves=arguments.leaves)
    if arguments.cold and result["ok"] > arguments.leaves // arguments.reps:
        raise Failure(f"--leaves {arguments.leaves} are too few for --cold: {result['ok']} handshakes in one round")
    if result["resumed"] != 0:
        raise Failure(f"{server.name}: {result['resumed']} handshakes were not full ones")
    return result


def resumed_handshake(bench, server, _):
    arguments = bench.arguments
    # Twice round: in the second round every client resumes.
    result = bench.load(server, "handshake", "--resume", "--time", arguments.duration, "--connections", 64,
                        "--warm-answers", 2 * arguments.leaves, port=server.static_port(), leaves=arguments.leaves)
    if result["full"] > 0.01 * (result["full"] + result["resumed"]):
        raise Failure(f"{server.name}: {result['full']} handshakes were not resumed, {result['resumed']} were")
    return result


def keep_alive(bench, server, protocol, path, *options):
    http2 = ["--http2", "--streams", 10] if protocol == "h2" else []
    port = server.static_port() if path == "/" else server.port
    return bench.load(server, "keep-alive", *http2, "--connections", 100, "--path", path, "--time",
                      bench.arguments.duration, *options, port=port)


def basic(bench, server, _):
    credentials = ("--basic", f"{USER}:{PASSWORD}")
    if server.name == "gatehouse":
        result = keep_alive(bench, server, "h2", "/basic", *credentials)
        result["without_us"] = keep_alive(bench, server, "h2", "/")["cpu_us"]
        result["resident_kib"] = resident_kib(server.pids())
        return result
    # Nobody else remembers a verified password: few requests, or none would end within the time.
    return bench.load(server, "keep-alive", "--http2", "--streams", 1, "--connections", 20, "--path", "/basic",
                      "--time", bench.arguments.duration, *credentials)


def large(bench, server, protocol, *options):
    """CPU of a MiB of a body of 8 MiB, on a few connections."""
    http2 = ["--http2", "--streams", 2] if protocol == "h2" else []
    result = bench.load(server, "keep-alive", *http2, "--connections", 8, "--path", "/large", "--time",
                        bench.arguments.duration, *options)
    return result | {"cpu_us": result["cpu_us"] / LARGE_MIB}


MEASURE = {
    "full-handshake": full_handshake,
    "resumed-handshake": resumed_handshake,
    "h2-direct": lambda bench, server, _: keep_alive(bench, server, "h2", "/"),
    "h1-direct": lambda bench, server, _: keep_alive(bench, server, "h1", "/"),
    "h2-proxied": lambda bench, server, _: keep_alive(bench, server, "h2", "/p"),
    "h1-proxied": lambda bench, server, _: keep_alive(bench, server, "h1", "/p"),
    "h2-basic-bcrypt": basic,
    "h2-download": lambda bench, server, _: large(bench, server, "h2"),
    "h1-download": lambda bench, server, _: large(bench, server, "h1"),
    "h1-upload": lambda bench, server, _: large(bench, server, "h1", "--body", LARGE_MIB * 1024 * 1024),
}


def resident_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
    return total


def idle_memory(bench, server, protocol):
    """KiB of each of many idle connections, of a server that has just begun and has answered one request."""
    http2 = ["--http2"] if protocol == "h2" else []
    port = server.static_port()
    bench.load(server, "once", "--path", "/", *http2, port=port)
    time.sleep(1)
    before = resident_kib(server.pids())
    holder = subprocess.Popen(bench.load_command(server, "idle", "--path", "/", "--connections", IDLE_CONNECTIONS, *http2,
                                                 port=port, leaves=bench.arguments.leaves),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(holder.stdout.readline() or "{}")
        if ready.get("open") != IDLE_CONNECTIONS:
            raise Failure(f"{server.name} does not hold {IDLE_CONNECTIONS} connections: {ready}")
        time.sleep(3)
        return (resident_kib(server.pids()) - before) / IDLE_CONNECTIONS
    finally:
        holder.stdin.close()
        holder.wait()


class Results:
    """Values of one row, by server, and what follows from them."""

    def __init__(self, row):
        self.row = row
        self.unit = "KiB" if row.startswith("idle") else "us"
        self.values = {}
        self.without = []
        self.remembered = []  # answers of a round, and the memory after it
        self.wrong = []

    def add(self, server, value):
        self.values.setdefault(server, []).append(value)

    def median(self, server):
        return round(statistics.median(self.values[server]), 2)

    def summary(self):
        ours, quick = (self.median(name) if name in self.values else None for name in OURS)
        peers = {name: self.median(name) for name in self.values if name not in OURS}
        ratio = lambda to, of=ours: round(of / to, 3) if of is not None and to else None
        best = min(peers.values(), default=None)
        result = {"row": self.row, f"gatehouse_{self.unit.lower()}": ours, "peers": peers, "unit": self.unit,
                  "ratio_to_nginx": ratio(peers.get("nginx")), "ratio_to_best": ratio(best)}
        if quick is not None:
            result |= {"gatehouse_quick_us": quick, "quick_ratio_to_nginx": ratio(peers.get("nginx"), quick),
                       "quick_ratio_to_best": ratio(best, quick)}
        if self.without:
            result["gatehouse_without_basic_us"] = round(statistics.median(self.without), 2)
        if len(self.remembered) > 1:
            # The first round fills what is bounded.
            result["gatehouse_decisions"] = sum(answers for answers, _ in self.remembered[1:])
            result["gatehouse_grown_kib"] = self.remembered[-1][1] - self.remembered[0][1]
        if self.wrong:
            result["wrong"] = self.wrong
        return result


@contextlib.contextmanager
def alone(bench, server):
    """The others stand still: what one has still to do, a backlog of its watcher's or a collection of garbage, is not the next one's."""
    others = [other for other in bench.servers if other is not server]
    for other in others:
        other.pause()
    try:
        yield
    finally:
        for other in others:
            other.resume()


def measure_requests(bench, row, results):
    for round_number in range(bench.arguments.reps):
        for server in bench.servers:
            if row not in server.rows:
                continue
            with alone(bench, server):
                result = MEASURE[row](bench, server, round_number)
            if server.name in OURS:
                server.check_watched()
                results.without += [result["without_us"]] if "without_us" in result else []
                if "resident_kib" in result:
                    results.remembered.append((result["ok"], result["resident_kib"]))
            if result["other"] or result["failed"] or not result["ok"]:
                results.wrong.append(f"{server.name}: {result['ok']} good answers, {result['reasons']}")
            results.add(server.name, result["cpu_us"])
            say(f"  {row} {round_number + 1}/{bench.arguments.reps} {server.name}: {result['cpu_us']:.2f} us, {result['rate']}/s, "
                f"core {result['used'] * 100:.0f} %, load {result['load_us']:.1f} us")


def measure_memory(bench, row, results, names):
    protocol = row.rsplit("-", 1)[1]
    for name in names:
        if row not in (OURS | PEERS)[name].rows:
            continue
        bench.start([name])
        results.add(name, idle_memory(bench, bench.servers[0], protocol))
        say(f"  {row} {name}: {results.median(name):.1f} KiB")
        bench.stop()


def print_table(summaries, peers):
    names = ["gatehouse", *peers]
    print("row".ljust(20) + "".join(n.rjust(12) for n in names) + "  to nginx  to best")
    for s in summaries:
        cells = [s.get(f"gatehouse_{s['unit'].lower()}")] + [s["peers"].get(p) for p in peers]
        ratios = [s["ratio_to_nginx"], s["ratio_to_best"]]
        print(s["row"].ljust(20) + "".join(("-" if c is None else f"{c:.2f}").rjust(12) for c in cells) +
              "".join(("-" if r is None else f"{r:.2f}").rjust(10) for r in ratios))
        if "gatehouse_quick_us" in s:
            print("  quick decoder".ljust(20) + f"{s['gatehouse_quick_us']:.2f}".rjust(12) + " " * 12 * len(peers) +
                  "".join(("-" if r is None else f"{r:.2f}").rjust(10) for r in (s["quick_ratio_to_nginx"], s["quick_ratio_to_best"])))
        if "gatehouse_without_basic_us" in s:
            print("  without Basic".ljust(20) + f"{s['gatehouse_without_basic_us']:.2f}".rjust(12))
        if "gatehouse_grown_kib" in s:
            print(f"  memory grew by {s['gatehouse_grown_kib']:,} KiB over {s['gatehouse_decisions']:,} cached decisions")
    print("CPU us per operation, of downloads and uploads per MiB; idle-memory rows: KiB per connection. Medians; - where a server cannot do it.")


def run(arguments):
    ours = [name for name, server in OURS.items() if set(server.rows) & set(arguments.rows)]
    names = [*([] if arguments.only_peers else ours), *arguments.peers]
    missing = [PEERS[p].program for p in arguments.peers if shutil.which(PEERS[p].program) is None]
    if missing:
        raise Failure(f"not installed: {', '.join(missing)}; deploy/install-deps.sh --bench installs them")
    summaries = []
    with Bench(arguments) as bench:
        # Rows of requests share the servers, so that the rounds alternate between them; memory wants fresh ones.
        order = sorted(arguments.rows, key=lambda r: r.startswith("idle"))
        for row in order:
            results = Results(row)
            if row.startswith("idle"):
                bench.stop()
                measure_memory(bench, row, results, names)
            else:
                if not bench.servers:
                    bench.start(names)
                    for server in bench.servers:
                        check(bench, server)
                measure_requests(bench, row, results)
            summaries.append(results.summary())
            if arguments.json:
                print(json.dumps(summaries[-1]), flush=True)
    if not arguments.json:
        print_table(summaries, arguments.peers)
    wrong = [w for s in summaries for w in s.get("wrong", [])]
    for text in wrong:
        say(f"wrong answers: {text}")
    return 1 if wrong else 0


def main():
    arguments = parse_arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000) if hard != resource.RLIM_INFINITY else 20000, hard))
    if len(os.sched_getaffinity(0)) < 2:
        raise Failure("needs two cores: one for the server, one for the load")
    return run(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        say(f"error: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
