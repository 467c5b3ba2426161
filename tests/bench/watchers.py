#!/usr/bin/python3
"""What watchers of the event stream cost the data plane, under load, and whether they miss anything without being told.

  tests/bench/watchers.py [--watchers 0,1,10,100] [--rounds 5] [--seconds 1] [--rate 5000] [--bin build/release/bin]

A whole `gatehouse`: its one worker thread on core 0; its other threads, the load and the watchers on core 1. In each round every
number of watchers is measured with every kind of load. Medians of the rounds:
  requests/s     of the load
  worker us      processor time of the worker's thread for a request, and that divided by the same without watchers
  events/s       that reached each watcher, from its first to its last: where it falls behind, the load's end is not its end
  in gaps        share of the events that the watchers did not see, and were told of
  lost           events that a full ring cost before the hub, which the next event tells
Exit code 1: an event is missing that nothing tells of, or what clients were answered is not what watchers were told.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import run
from gatehouse import Gatehouse
from servers import LOAD_CORE, SERVER_CORE, Failure

LOADS = {"paced": ["--http2", "--streams", 10], "h1": [], "h2": ["--http2", "--streams", 10]}


class Watched(Gatehouse):
    """Without the watcher that other rows have."""

    def watch(self):
        self.worker = None
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            thread = int(task.name)
            if (task / "comm").read_text().strip() == "worker-0":
                self.worker = thread
            os.sched_setaffinity(thread, {SERVER_CORE if thread == self.worker else LOAD_CORE})
        if self.worker is None:
            raise Failure("gatehouse has no thread named worker-0")

    def events(self):
        """How many the hub has published, and how many were lost before it, when no more come."""
        seen = None
        while True:
            status = self.status()
            now = int(status["events"]), int(status.get("events_lost", 0))
            if now == seen:
                return now
            seen = now


class Watchers:
    """So many, on core 1, until `end`."""

    def __init__(self, server, count):
        self.process = None
        if count == 0:
            return
        self.process = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), str(server.bench.bin / "bench_watchers"), str(server.socket), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "subscribed\n":
            raise Failure(f"{count} watchers could not subscribe")

    def end(self, head):
        if self.process is None:
            return None
        out, _ = self.process.communicate(f"{head}\n", timeout=120)
        if self.process.returncode != 0:
            raise Failure("the watchers failed")
        return json.loads(out)


def measure(bench, server, kind, count):
    before, lost_before = server.events()
    watchers = Watchers(server, count)
    options = ["--rate", bench.arguments.rate] if kind == "paced" else []
    load = bench.load(server, "keep-alive", *LOADS[kind], *options, "--connections", 100, "--path", "/", "--time", bench.arguments.seconds,
                      "--thread", server.worker)
    if load["other"] or load["failed"] or not load["ok"]:
        raise Failure(f"wrong answers: {load['reasons']}")
    # One more when all is quiet: an event tells how many were lost before it, so that the last ones are told of, too.
    server.events()
    bench.load(server, "once", "--path", "/")
    head, lost = server.events()
    seen = watchers.end(head)
    if seen is not None:
        wrong = check(seen, before, head, load["answers"]["200"] + 1, lost - lost_before)
        if wrong:
            raise Failure(f"{kind}, {count} watchers: {wrong}")
        seen["lost"] = lost - lost_before
    return load, seen


def check(seen, before, head, answers, lost):
    """What is wrong with what watchers saw between two events while clients were answered and events lost before the hub; None: nothing."""
    if (seen["first"], seen["last"]) != (before, head):
        return f"they saw the events from {seen['first']} to {seen['last']}, and there were those from {before} to {head}"
    for watcher in seen["watchers"]:
        events, decisions, missed = watcher["events"], watcher["decisions"], watcher["missed"]
        if watcher["holes"] or events + missed != head - before:
            return f"events are missing that no GAP tells of: {watcher}, of {head - before}"
        if missed == 0 and watcher["lost"] != lost:
            return f"{lost} events were lost before the hub, and a watcher was told of {watcher['lost']}"
        # Of those that are not seen nobody knows how many were decisions.
        if not decisions <= answers <= decisions + missed + lost:
            return f"clients got {answers} answers, and a watcher saw {decisions} decisions, {missed} in gaps, {lost} lost before the hub"
    return None


def main():
    parser = argparse.ArgumentParser(prog="watchers.py", description="What watchers of the event stream cost the data plane under load.")
    parser.add_argument("--watchers", default="0,1,10,100", help="comma-separated, the first is 0 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1, help="of a measurement (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5000, help="requests a second of the paced load (default: %(default)s)")
    parser.add_argument("--bin", type=pathlib.Path, default=run.ROOT / "build" / "release" / "bin", help="programs (default: build/release/bin)")
    arguments = parser.parse_args()
    counts = [int(n) for n in arguments.watchers.split(",")]
    if counts[0] != 0 or arguments.rounds < 1 or arguments.seconds <= 0 or arguments.rate < 1:
        parser.error("--watchers begins with 0; --rounds, --seconds and --rate are more than 0")
    arguments.leaves = 1000
    results = {}
    with run.Bench(arguments) as bench:
        server = Watched(bench)
        bench.servers.append(server)
        server.start()
        for number in range(arguments.rounds):
            for kind in LOADS:
                for count in counts:
                    results.setdefault((kind, count), []).append(measure(bench, server, kind, count))
            run.say(f"round {number + 1} of {arguments.rounds}")
    print(f"{'load':8}{'watchers':>10}{'requests/s':>12}{'worker us':>11}{'ratio':>8}{'events/s':>11}{'in gaps':>9}{'lost':>9}")
    for (kind, count), rounds in results.items():
        middle = lambda value, rounds=rounds: statistics.median(value(load, seen) for load, seen in rounds)
        cost = middle(lambda load, _: load["thread_us"])
        ratio = statistics.median(load["thread_us"] / base["thread_us"] for (load, _), (base, _) in zip(rounds, results[kind, 0]))
        line = f"{kind:8}{count:>10}{middle(lambda load, _: load['rate']):>12,.0f}{cost:>11.2f}{ratio:>8.2f}"
        if count:
            gaps = middle(lambda _, seen: sum(w["missed"] for w in seen["watchers"]) / (count * (seen["last"] - seen["first"])))
            line += f"{middle(lambda _, seen: seen['rate']):>11,.0f}{gaps * 100:>7.1f} %{middle(lambda _, seen: seen['lost']):>9,.0f}"
        print(line)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        run.say(f"error: {failure}")
        sys.exit(1)
