"""The samples in this folder are clean for both type checkers, mistakes and all.

A mistake in a sample carries the comment that silences it. Both checkers report such a comment when it silences
nothing, so that a mistake which is no longer seen fails here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SAMPLES = sorted(FOLDER.glob("sample_*.py"))


def test_mypy_infers_what_the_samples_say() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--no-error-summary"]
    done = subprocess.run([*command, *map(str, SAMPLES)], capture_output=True, text=True, check=False, timeout=280)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_pyright_infers_what_the_samples_say() -> None:
    """Its settings are in this folder: strict, and the comments for mypy are none of its business."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(SAMPLES)
    assert [(x["file"], x["range"]["start"]["line"] + 1, x["message"]) for x in report["generalDiagnostics"]] == []


def test_every_type_of_the_package_is_known_to_whoever_installs_it() -> None:
    """No annotation is missing that another type checker would have to guess."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", "missionlink", "--ignoreexternal", "--outputjson"]
    # In this mode pyright looks for the package with the Python that is first on PATH, whatever else it is told.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    found = json.loads(done.stdout)["typeCompleteness"]
    incomplete = [
        (symbol["name"], [x["message"] for x in symbol["diagnostics"]])
        for symbol in found["symbols"]
        if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    ]
    assert incomplete == []
    assert found["completenessScore"] == 1
    assert found["exportedSymbolCounts"]["withKnownType"] > 10_000
