"""docs/reference/api.md says what the protos say now."""
import difflib
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CTL = pathlib.Path(os.environ["GATEHOUSE_BIN"]) / "gatehousectl"


class ApiReference(unittest.TestCase):
    def test_is_what_the_protos_say(self):
        made = subprocess.run([CTL, "explain", "--markdown"], capture_output=True, text=True, check=True).stdout
        stands = (ROOT / "docs/reference/api.md").read_text()
        changed = "\n".join(difflib.unified_diff(stands.splitlines(), made.splitlines(), "docs/reference/api.md", "protos", n=0, lineterm=""))
        self.assertEqual(changed, "", "stale: gatehousectl explain --markdown >docs/reference/api.md")


if __name__ == "__main__":
    unittest.main()
