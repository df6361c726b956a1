"""Extras: what is missing is named, and what they need resolves beside the packages of a year ago."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]

# What was current in November 2025, when FastAPI allowed starlette from 0.40 to below 0.51.
OF_LATE_2025 = {
    "anyio": "4.11.0",
    "click": "8.3.1",
    "filelock": "3.20.0",
    "fsspec": "2025.10.0",
    "httpx": "0.28.1",
    "platformdirs": "4.5.0",
    "prompt_toolkit": "3.0.52",
    "pytest": "8.4.2",
    "rich": "14.2.0",
    "starlette": "0.50.0",
    "uvicorn": "0.38.0",
}

# Public names of each extra, and the packages without which it cannot be.
NEEDED = {
    "control": (("missionlink.mission_control", "serve"), ("starlette", "uvicorn")),
    "testing": (("missionlink.testing", "model_server"), ("starlette",)),
}


def requirements(extra: str) -> list[Requirement]:
    return [Requirement(one) for one in PROJECT["optional-dependencies"][extra]]


@pytest.mark.parametrize("extra", ["cli", "control", "fsspec", "models", "testing", "runtime"])
def test_an_extra_resolves_beside_the_packages_of_late_2025(extra: str) -> None:
    for one in requirements(extra):
        if one.name in OF_LATE_2025:
            assert one.specifier.contains(OF_LATE_2025[one.name]), str(one)


def test_starlette_may_be_any_that_a_fastapi_of_late_2025_allows() -> None:
    for extra in ("control", "testing"):
        (starlette,) = [one for one in requirements(extra) if one.name == "starlette"]
        for version in ("0.40.0", "0.49.3", "0.50.0", "1.0.0"):
            assert starlette.specifier.contains(version)


def test_the_command_line_has_what_its_own_commands_need() -> None:
    """``run --embedded`` and ``control serve`` start a Mission Control."""
    assert "missionlink[control]" in [str(one) for one in requirements("cli")]


def without(*packages: str, code: str) -> subprocess.CompletedProcess[str]:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({packages!r})); "
    return subprocess.run(
        [sys.executable, "-c", hidden + code], capture_output=True, text=True, check=False, timeout=200
    )


@pytest.mark.parametrize("extra", NEEDED)
def test_a_name_that_needs_a_missing_extra_says_which(extra: str) -> None:
    (module, name), packages = NEEDED[extra]
    for package in packages:
        done = without(package, code=f"from {module} import {name}")
        last = done.stderr.splitlines()[-1]
        assert last.startswith("missionlink.errors.MissingExtra: "), done.stderr
        assert f"pip install 'missionlink[{extra}]'" in last


def test_a_model_server_without_its_server_says_which_extra() -> None:
    code = "import asyncio, missionlink.testing as t; asyncio.run(t.model_server().__aenter__())"
    assert "pip install 'missionlink[testing]'" in without("uvicorn", code=code).stderr.splitlines()[-1]


def test_a_storage_in_a_file_system_of_fsspec_says_which_extra_it_needs() -> None:
    code = "from missionlink.storage import FsspecFS; FsspecFS('s3://bucket/sessions')"
    assert "pip install 'missionlink[fsspec]'" in without("fsspec", code=code).stderr.splitlines()[-1]


def test_forwarding_without_a_client_says_which_extra_it_needs() -> None:
    code = (
        "import asyncio; from missionlink.model_requests import Forward, HttpRequest; "
        "asyncio.run(Forward()(HttpRequest(method='GET', url='http://127.0.0.1/')))"
    )
    assert "pip install 'missionlink[models]'" in without("httpx", code=code).stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("click", ["--help"], "cli"),
        ("click", ["doctor"], "cli"),
        ("starlette", ["run", "--embedded", "hello"], "control"),
        ("uvicorn", ["control", "serve", "--dev"], "control"),
        ("platformdirs", ["runtime", "list"], "runtime"),
        ("filelock", ["runtime", "install"], "runtime"),
    ],
)
def test_a_command_that_needs_a_missing_extra_says_which_in_one_line(
    package: str, arguments: list[str], extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MISSIONLINK_CACHE", str(tmp_path))
    code = f"from missionlink.cli import main; sys.exit(main({arguments!r}))"
    if package == "platformdirs":
        # The interpreter of a checkout sets the variable itself when it starts.
        code = f"import os; del os.environ['MISSIONLINK_CACHE']; {code}"
    done = without(package, code=code)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"pip install 'missionlink[{extra}]'")


def test_doctor_works_without_any_extra_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISSIONLINK_CACHE", str(tmp_path))
    for name in ("MISSIONLINK_RUNTIME", "COPILOT_CLI_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    packages = ("starlette", "uvicorn", "rich", "prompt_toolkit", "platformdirs", "filelock", "pytest", "anyio")
    done = without(*packages, code="from missionlink.cli import main; sys.exit(main(['doctor']))")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for extra in ("cli", "control", "testing"):
        assert f"pip install 'missionlink[{extra}]'" in done.stdout
