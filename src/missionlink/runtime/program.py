"""A runtime program: its command line, where it was found, and its version."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from missionlink.errors import RuntimeStartFailed, RuntimeStartTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ("RuntimeProgram", "ask_version", "read_version")

VERSION_TIMEOUT_S = 60.0
"""A native runtime unpacks itself at its first start: 2 s on a quiet machine, more on a loaded one."""

_VERSION = re.compile(r"\b\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?\b")


@dataclass(frozen=True, slots=True)
class RuntimeProgram:
    """A runtime that can be started."""

    argv: tuple[str, ...]
    """The first words of the command line: the program, or Node and the script."""
    path: Path
    """The file that is the runtime: the last word of ``argv``."""
    source: str
    """Where it was found: ``"argument"``, ``"cache"``, ``"PATH"``, or the name of the variable that named it."""
    version: str | None
    """Its version as its package says, without starting it; ``None`` for a program that came without a package."""


def read_version(program: Path) -> str | None:
    """Read the version from the ``package.json`` beside a program; ``None`` when there is none."""
    try:
        manifest = json.loads(program.with_name("package.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict):
        return None
    fields = cast("dict[str, object]", manifest)
    name, version = fields.get("name"), fields.get("version")
    if not (isinstance(name, str) and name.startswith("@github/copilot") and isinstance(version, str)):
        return None
    return version


def ask_version(
    argv: Sequence[str],
    *,
    scratch: Path | None = None,
    environ: Mapping[str, str] | None = None,
    timeout: float = VERSION_TIMEOUT_S,
) -> str:
    """Start a program with ``--version`` and return the version that it names.

    The program gets a home folder of its own, which is removed afterwards: it unpacks about 240 MB there.

    Args:
        argv: The first words of the command line.
        scratch: An existing folder for that home. ``None`` means the system's folder for temporary files.
        environ: The rest of its environment. ``None`` means this process's own.
        timeout: Seconds until the program is ended.

    Raises:
        RuntimeStartFailed: It cannot be started, ends with an error, takes too long or names no version.
    """
    shown = argv[-1]
    with tempfile.TemporaryDirectory(prefix="missionlink-", dir=scratch, ignore_cleanup_errors=True) as home:
        whole = {
            **(os.environ if environ is None else environ),
            "HOME": home,
            "USERPROFILE": home,
            "XDG_CACHE_HOME": os.path.join(home, "cache"),
            "COPILOT_HOME": os.path.join(home, "copilot"),
        }
        try:
            done = subprocess.run(
                [*argv, "--no-auto-update", "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
                env=whole,
            )
        except subprocess.TimeoutExpired as error:
            text = f"{shown!r} did not tell its version within {timeout:g} s"
            raise RuntimeStartTimeout(text, stderr=(error.stderr or b"").decode(errors="replace")) from error
        except OSError as error:
            raise RuntimeStartFailed(f"{shown!r} cannot be started: {error.strerror or error}") from error
    stderr = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeStartFailed(
            f"{shown!r} failed when asked for its version", exit_code=done.returncode, stderr=stderr
        )
    found = _VERSION.search(done.stdout.decode(errors="replace"))
    if found is None:
        raise RuntimeStartFailed(f"{shown!r} named no version when asked for it", stderr=stderr)
    return found.group()
