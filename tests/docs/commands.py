"""Commands that documents show: each must be one that exists, with options that it takes."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path

import click

from missionlink.cli.group import Settings, root
from missionlink.testing.__main__ import _parser as testing_parser

ROOT = Path(__file__).resolve().parents[2]
# Commands of the reader's own, which say nothing about us.
_FOREIGN = {"cd", "git", "node", "npm"}


def check_command(line: str) -> str | None:
    """Say what is wrong with a command line; ``None`` if it can be typed as it stands."""
    # A remark behind the command belongs to the reader.
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    match words:
        case ["export", *names]:
            return None if all("=" in name for name in names) else f"{line}: exports nothing"
        case ["missionlink", *arguments]:
            return _check_click(root, "missionlink", arguments)
        case ["python", "-m", "missionlink.testing", *arguments]:
            _, unknown = testing_parser().parse_known_args(arguments)
            return f"{line}: unknown {unknown}" if unknown else None
        case ["python", "-m", "asyncio" | "benchmarks", *_]:
            return None
        case ["python", script, *_] if script.startswith("examples/"):
            return None if (ROOT / script).is_file() else f"{line}: {script} does not exist"
        case ["make", *targets]:
            return _check_make(targets)
        case ["pip", "install", *packages]:
            return _check_pip(packages)
        case [program, *_] if program in _FOREIGN:
            return None
        case _:
            return f"{line}: this test does not know the command; teach it in {Path(__file__).name}"


def program_of(line: str) -> list[str]:
    """Return what to run for a command of missionlink's."""
    program, *arguments = shlex.split(line)
    match program:
        case "make" if arguments == ["demo"]:
            return [sys.executable, str(ROOT / "examples" / "demo.py")]
        case "missionlink":
            return [sys.executable, "-m", "missionlink", *arguments]
        case "python":
            return [sys.executable, *(str(ROOT / word) if word.startswith("examples/") else word for word in arguments)]
        case _:
            raise ValueError(f"{line}: only missionlink, python and make demo are run by tests")


def _check_click(command: click.Command, name: str, arguments: list[str]) -> str | None:
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(click.Context(command), arguments[0])
        if found is None:
            return f"{name} has no command {arguments[0]}"
        command, name, arguments = found, f"{name} {arguments[0]}", arguments[1:]
    try:
        # Reads the arguments and runs nothing.
        command.make_context(name, list(arguments), obj=Settings()).close()
    except click.exceptions.Exit:
        return None  # --help and --version
    except click.ClickException as error:
        return f"{name} {shlex.join(arguments)}: {error.format_message()}"
    return None


def _check_make(words: list[str]) -> str | None:
    (declared,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    missing = {word for word in words if "=" not in word} - set(declared.split())
    return f"make has no target {missing}" if missing else None


def _check_pip(words: list[str]) -> str | None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        found = re.fullmatch(r"(?:missionlink|\.)(\[(?P<extras>[\w,]+)\])?", word)
        if found and found["extras"]:
            missing = set(found["extras"].split(",")) - set(project["optional-dependencies"])
            if missing:
                return f"missionlink has no extra {missing}"
    return None
