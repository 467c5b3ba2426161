#!/usr/bin/python3
"""Checks what deploy/ and the reference say of the programs against the programs: flags, ports, volumes, the unit.

An engine or systemd is not needed; systemd-analyze judges the unit where there is one."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["GATEHOUSE_BIN"])
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def flags_of(*command):
    """The flags that a program, or one of its commands, has."""
    shown = subprocess.run([BIN / command[0], *command[1:], "--help"], capture_output=True, text=True, check=True).stdout
    return set(FLAG.findall(shown)) | {"--help"}


def flags_in(text):
    return set(FLAG.findall(text))


class ContainerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = (ROOT / "deploy/Containerfile").read_text()
        cls.compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
        cls.services = cls.compose["services"]

    def instruction(self, name):
        return re.findall(rf"^{name} (.+)$", self.file, re.M)

    def entry_point(self):
        return yaml.safe_load(self.instruction("ENTRYPOINT")[-1])

    def test_the_entry_point_and_the_services_commands_are_programs_with_those_flags(self):
        entry = self.entry_point()
        for name, service in self.services.items():
            command = service.get("entrypoint", entry) + service.get("command", [])
            self.assertTrue(command[0].startswith("/usr/local/bin/"), name)
            self.assertLessEqual(flags_in(" ".join(command)), flags_of(pathlib.Path(command[0]).name), name)

    def test_health_checks_call_commands_that_exist(self):
        for name, service in self.services.items():
            check = service["healthcheck"]["test"]
            self.assertEqual(check[0], "CMD", name)
            program, rest = check[1], check[2:]
            words = [w for i, w in enumerate(rest) if not w.startswith("-") and not (i and rest[i - 1].startswith("--"))]
            self.assertLessEqual(flags_in(" ".join(rest)), flags_of(program) | flags_of(program, *words), name)

    def test_ports_and_volumes_are_those_of_the_image(self):
        exposed = {p for line in self.instruction("EXPOSE") for p in line.split()}
        volumes = {v for line in self.instruction("VOLUME") for v in line.split()}
        for name, service in self.services.items():
            for port in service.get("ports", []):
                self.assertIn(port.split(":")[-1], exposed, name)
            for port in service.get("expose", []):
                self.assertIn(str(port), exposed, name)
            targets = set()
            for volume in service["volumes"]:
                source, target = volume.split(":")[:2]
                self.assertIn(source, self.compose["volumes"], name)
                targets.add(target)
            self.assertEqual(targets, volumes, name)
        state = self.entry_point()[self.entry_point().index("--state-dir") + 1]
        self.assertIn(state, volumes)

    def test_nothing_is_given_to_the_service_that_it_does_not_need(self):
        self.assertRegex(self.instruction("USER")[-1], r"^[1-9]\d*:[1-9]\d*$")
        for name, service in self.services.items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            self.assertNotIn("privileged", service, name)

    def test_the_build_installs_what_it_names(self):
        self.assertIn("deploy/install-deps.sh --run", self.file)
        script = (ROOT / "deploy/install-deps.sh").read_text()
        for option in ("--run", "--bench", "--coverage", "--image"):
            self.assertIn(option, script)


class UnitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = (ROOT / "deploy/systemd/gatehouse.service").read_text()

    def test_starts_a_program_with_flags_that_it_has(self):
        command = shlex.split(re.search(r"^ExecStart=(.+)$", self.text, re.M)[1])
        self.assertLessEqual(flags_in(" ".join(command)), flags_of(pathlib.Path(command[0]).name))
        self.assertIn("/var/lib/" + re.search(r"^StateDirectory=(.+)$", self.text, re.M)[1], command)

    def test_gives_a_drain_the_time_that_it_takes(self):
        stop = int(re.search(r"^TimeoutStopSec=(\d+)$", self.text, re.M)[1])
        drain = re.search(r"--drain .*=(\d+)", subprocess.run([BIN / "gatehouse", "--help"], capture_output=True, text=True).stdout)
        self.assertGreater(stop, int(drain[1]))

    def test_is_good_in_the_eyes_of_systemd(self):
        for line in self.text.splitlines():
            self.assertRegex(line, r"^(#.*|;.*|\[\w+\]|\w+=.*|)$")
        self.analyse(self.text)

    def test_its_commented_lines_let_it_listen_on_ports_below_1024(self):
        text = re.sub(r"^#(?=\w+=)", "", self.text, flags=re.M)
        self.assertEqual(re.findall(r"^AmbientCapabilities=(.*)$", text, re.M)[-1], "CAP_NET_BIND_SERVICE")
        # systemd.exec(5): with PrivateUsers= a service has no capability in the host's user namespace, whose the ports are.
        self.assertEqual(re.findall(r"^PrivateUsers=(.*)$", text, re.M)[-1], "no")
        self.analyse(text)

    def analyse(self, text):
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / "gatehouse.service"
            unit.write_text(text.replace("/usr/local/bin/gatehouse", str(BIN / "gatehouse")).replace(
                "Documentation=", "#Documentation="))
            done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = subprocess.run([analyze, "security", "--offline=true", "--threshold=25", unit], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class ReferenceTest(unittest.TestCase):
    def test_every_flag_of_a_program_is_in_its_page_and_no_other(self):
        for program in ("gatehouse", "gatehouse-gateway"):
            page = (ROOT / f"docs/reference/{program}.md").read_text()
            table = {flag for line in page.splitlines() if line.startswith("| `--") for flag in flags_in(line.split("|")[1])}
            self.assertEqual(table | {"--help", "--version"}, flags_of(program) | {"--version"}, program)

    def test_every_command_of_gatehousectl_is_in_its_page(self):
        page = (ROOT / "docs/reference/gatehousectl.md").read_text()
        shown = subprocess.run([BIN / "gatehousectl", "--help"], capture_output=True, text=True, check=True).stdout
        commands = re.findall(r"^  ([a-z-]+)  +\S", shown.split("Subcommands:")[1], re.M)
        self.assertGreater(len(commands), 5)
        for command in commands:
            self.assertIn(f"`{command}", page, command)


if __name__ == "__main__":
    unittest.main()
