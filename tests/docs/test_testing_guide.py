"""The examples of the guide to testing, run as a user would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"
CONFIGURATION = "[pytest]\nanyio_mode = auto\nfilterwarnings = error\n"
BACKEND = "import pytest\n\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"


def test_the_examples_of_the_guide_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "test_guide.py").write_text("\n\n".join(blocks))
    (tmp_path / "conftest.py").write_text(BACKEND)
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    count = sum(block.count("def test_") for block in blocks)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_guide.py")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr


def test_the_verbs_that_the_guide_names_are_there() -> None:
    from missionlink import testing
    from missionlink.testing.faults import Faults

    text = GUIDE.read_text()
    verbs = {name for name in vars(Faults) if not name.startswith("_")}
    paragraph = text[text.index("`fake.faults` has") : text.index("```python\nfrom missionlink.errors")]
    named = set(re.findall(r"`(\w+)`", paragraph))
    assert verbs - {"read_again"} == named
    table = re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)
    assert all(name in testing.__all__ for name in table)
