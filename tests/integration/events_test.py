#!/usr/bin/python3
"""Events that were: archive over restarts and crashes, times and cursors, counts, JSON lines, damage."""
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import time
import unittest

from harness import BIN, EDGE, GatehouseTest, wait_for

CONFIG = EDGE + """---
{{kind: Route, name: open, match: {{path: "/open/{{rest...}}"}}, anonymous: true, fixed_response: {{body: one}}}}
"""


class EventsTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        cls.log = None
        super().setUpClass()
        cls.log = cls.folder / "events.jsonl"
        cls.gatehouse.stop()
        cls.gatehouse.options = ("--event-log", str(cls.log), "--metrics-address", "127.0.0.1:0", "--event-archive-size", "64MiB")
        cls.gatehouse.start()
        cls.pki.server()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port))

    def ask(self, *paths):
        client = self.client()
        for path in paths:
            self.assertEqual(client.get(f"/open/{path}")[0], 200)

    def watch(self, count, *options, check=True):
        """The next `count` events that a watch prints."""
        done = subprocess.run([BIN / "gatehousectl", "--server", self.gatehouse.control, "events", "watch", "--output", "json", "--count", str(count),
                               *options], capture_output=True, text=True, timeout=30)
        if check and done.returncode != 0:
            raise AssertionError(done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()] if check else done

    def paths(self, count, *options):
        return [e["request"]["path"] for e in self.watch(count, "--type", "decision", *options)]

    def archive(self):
        return json.loads(self.gatehouse.ctl("status", "--json").stdout)["archive"]

    def wait_logged(self, path):
        wait_for(f"{path} is logged", lambda: self.log.exists() and path in self.log.read_text())

    def test_a_cursor_and_a_time_outlive_a_restart(self):
        began = time.time()
        self.ask("r1", "r2", "r3")
        self.wait_logged("/open/r3")
        first = next(e for e in self.watch(3, "--since", "1m", "--type", "decision", "--route", "open", "--from-oldest") if "/open/r" in e["request"]["path"])
        cursor = f"{first['cursor']['incarnation']}:{first['cursor']['sequence']}"
        self.assertEqual(self.gatehouse.stop(), 0)
        self.gatehouse.start()
        self.ask("r4")
        self.wait_logged("/open/r4")
        behind = self.paths(3, "--after", cursor)
        self.assertEqual(behind, ["/open/r2", "/open/r3", "/open/r4"])
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 1))
        self.assertIn("/open/r1", self.paths(4, "--since", since))
        # the writes of the configuration are there too, from before the restart
        audits = self.watch(1, "--from-oldest", "--type", "audit")
        self.assertEqual(audits[0]["type"], "AUDIT")
        self.assertGreater(int(self.archive()["events"]), 4)
        self.assertIn("archive", self.gatehouse.ctl("status").stdout)
        # one of them is explained by its cursor, long after it left memory
        self.assertEqual(self.gatehouse.ctl("events", "watch", "--after", "0123456789abcdef:1", check=False).returncode, 1)
        mode = (self.gatehouse.state / "events.db").stat().st_mode & 0o777
        self.assertEqual(mode, 0o600)

    def test_after_a_kill_no_cursor_means_two_events_and_the_hole_is_told(self):
        self.ask("k1")
        self.wait_logged("/open/k1")
        before = [e for e in map(json.loads, self.log.read_text().splitlines()) if "cursor" in e][-1]["cursor"]
        wait_for("k1 is archived", lambda: self.archived("k1"))
        self.gatehouse.process.kill()
        self.gatehouse.process.wait()
        self.gatehouse.start()
        self.ask("k2")
        self.wait_logged("/open/k2")
        after = [e for e in map(json.loads, self.log.read_text().splitlines()) if "cursor" in e][-1]["cursor"]
        self.assertEqual(after["incarnation"], before["incarnation"])
        self.assertGreater(int(after["sequence"]), int(before["sequence"]))
        cursor = f"{before['incarnation']}:{before['sequence']}"
        events = self.watch(1, "--after", cursor)
        self.assertEqual(events[0]["type"], "GAP")
        self.assertNotIn("missed", events[0])

    def archived(self, path):
        # The file is locked by its owner: a copy is read.
        copy = self.folder / "copy.db"
        for companion in ("", "-wal"):
            source = pathlib.Path(str(self.gatehouse.state / "events.db") + companion)
            if source.exists():
                pathlib.Path(str(copy) + companion).write_bytes(source.read_bytes())
        try:
            with sqlite3.connect(copy) as db:
                return any(f"/open/{path}".encode() in wire for (wire,) in db.execute("SELECT wire FROM body"))
        except sqlite3.DatabaseError:
            return False  # copied while it was written
        finally:
            for companion in ("", "-wal", "-shm"):
                pathlib.Path(str(copy) + companion).unlink(missing_ok=True)

    def test_counts_by_minute(self):
        self.ask("s1", "s2")
        self.client().get("/nowhere")
        wait_for("they are counted", lambda: "NO_ROUTE" in self.gatehouse.ctl("events", "summary").stdout or
                 "REFUSED" in self.gatehouse.ctl("events", "summary").stdout)
        counted = json.loads(self.gatehouse.ctl("events", "summary", "--by", "route,outcome", "--since", "2h", "--step", "10m", "-o", "json").stdout)
        rows = {(r.get("route", ""), r["outcome"]): int(r["count"]) for r in counted["rows"]}
        self.assertGreaterEqual(rows[("open", "ALLOWED")], 2)
        self.assertGreaterEqual(rows[("", "REFUSED")], 1)
        table = self.gatehouse.ctl("events", "summary", "--by", "reason,route", "--step", "10m").stdout
        self.assertRegex(table.splitlines()[0], r"TIME +REASON +ROUTE +COUNT")
        refused = self.gatehouse.ctl("events", "summary", "--step", "90s", check=False)
        self.assertEqual(refused.returncode, 2)

    def test_the_log_is_json_lines_and_survives_being_moved(self):
        self.ask("l1")
        self.wait_logged("/open/l1")
        moved = self.folder / "events.jsonl.1"
        self.log.rename(moved)

        def again():
            self.ask("l2")
            return self.log.exists() and "/open/l2" in self.log.read_text()
        wait_for("it is opened anew", again)
        for path in (moved, self.log):
            for line in path.read_text().splitlines():
                self.assertIn("type", json.loads(line))
        out = (self.folder / "gatehouse.out").read_text()
        url = re.search(r"gatehouse: metrics (http://\S+)", out)[1]
        metrics = subprocess.run(["curl", "-sS", url], capture_output=True, text=True).stdout
        self.assertIn("gatehouse_event_log_lost_lines_total 0\n", metrics)
        self.assertIn("gatehouse_control_event_archive_lost_total 0\n", metrics)

    def test_y_a_damaged_archive_is_set_aside_and_the_configuration_is_unhurt(self):
        revision = self.gatehouse.revision()
        self.assertEqual(self.gatehouse.stop(), 0)
        with open(self.gatehouse.state / "events.db", "r+b") as file:
            file.write(os.urandom(4096))
        self.gatehouse.start()
        self.assertEqual(self.gatehouse.revision(), revision)
        aside = list(self.gatehouse.state.glob("events.db.damaged-*"))
        self.assertEqual(len(aside), 1)
        self.assertIn(f"set aside as {aside[0]}", (self.folder / "gatehouse.log").read_text())
        told = self.watch(1, "--type", "gateway", "--from-oldest")  # the gap comes first
        self.assertEqual(told[0]["type"], "GAP")
        told = self.watch(2, "--type", "gateway", "--from-oldest")
        self.assertIn("set aside", told[1]["detail"])
        late = self.watch(1, "--since", "24h", check=False)
        self.assertEqual(late.returncode, 1)
        self.assertIn("from_oldest", late.stderr)

    def test_z_without_an_archive_a_restart_begins_anew(self):
        self.gatehouse.stop()
        self.gatehouse.options = ("--event-archive-size", "0", "--event-log", "-")
        self.gatehouse.start()
        self.ask("z1")
        out = self.folder / "gatehouse.out"
        wait_for("it is on standard output", lambda: "/open/z1" in out.read_text())
        self.assertNotIn("archive", json.loads(self.gatehouse.ctl("status", "--json").stdout))
        line = next(line for line in out.read_text().splitlines() if "/open/z1" in line)
        first = json.loads(line)["cursor"]["incarnation"]
        self.gatehouse.stop()
        self.gatehouse.start()
        self.ask("z2")
        wait_for("it is on standard output", lambda: "/open/z2" in out.read_text())
        line = next(line for line in out.read_text().splitlines() if "/open/z2" in line)
        self.assertNotEqual(json.loads(line)["cursor"]["incarnation"], first)


if __name__ == "__main__":
    unittest.main()
