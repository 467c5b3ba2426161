#!/usr/bin/python3
"""gatehousectl as a program: standard streams that fail, and a server that goes away while it watches."""
import os
import signal
import subprocess
import unittest

from harness import BIN, EventWatch, GatehouseTest


class GatehousectlTest(GatehouseTest):
    def run_ctl(self, *args, **streams):
        return subprocess.run([BIN / "gatehousectl", "--server", self.gatehouse.control, *args], stderr=subprocess.PIPE, text=True, timeout=30, **streams)

    def store(self, name):
        self.gatehouse.apply(f"{{kind: UserStore, name: {name}}}\n")

    def test_output_that_cannot_be_written_is_no_success(self):
        self.store("full")
        for args in (["export"], ["events", "watch", "--from-oldest", "--count", "1"], ["get", "all", "-o", "name"], ["--help"]):
            with open("/dev/full", "w") as full:
                done = self.run_ctl(*args, stdout=full)
            self.assertEqual(done.returncode, 5, args)
            self.assertIn("error: standard output could not be written\n", done.stderr)

    def test_a_pipe_that_is_closed_ends_it_without_a_word(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = self.run_ctl("export", stdout=writer)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, ""))

    def test_streams_that_are_closed_are_no_connections(self):
        self.store("closed")
        command = f"exec {BIN}/gatehousectl --server {self.gatehouse.control} export <&- >&-"
        done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_input_that_cannot_be_read_is_no_end(self):
        self.store("kept")
        folder = os.open(self.folder, os.O_RDONLY)
        for replace in ([], ["--replace-all"]):
            done = self.run_ctl("apply", "-f", "-", *replace, stdin=folder, stdout=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 1)
            self.assertIn("standard input could not be read", done.stderr)
        os.close(folder)
        self.gatehouse.ctl("get", "user-store", "kept")

    def test_a_watch_that_has_seen_nothing_loses_nothing_over_a_restart(self):
        self.store("before")
        with EventWatch(self.gatehouse, "--type", "audit") as watch:
            watch.process.send_signal(signal.SIGSTOP)  # it is slow to come back
            self.gatehouse.stop()
            self.gatehouse.start()
            self.store("meanwhile")
            watch.process.send_signal(signal.SIGCONT)
            watch.wait(lambda e: e.get("revision") == str(self.gatehouse.revision()) and "dry run" not in e["detail"])


if __name__ == "__main__":
    unittest.main()
