"""Finds the runtime: the places to look in, their order, and the reason against each place.

A place that was named (an argument, a variable) is taken or refused: a wrong name never makes us start another
program than the one that was asked for. Nothing is downloaded here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from missionlink.errors import MissingExtra, RuntimeNotFound
from missionlink.runtime.cache import cache_root, program_files, release_folder
from missionlink.runtime.named import NAMED_BY
from missionlink.runtime.node import find_node
from missionlink.runtime.program import RuntimeProgram, read_version
from missionlink.runtime.releases import RELEASES, platform_key

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("installed", "locate", "placed")


def locate(
    explicit: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] | None = None
) -> RuntimeProgram:
    """Find the runtime to start, without starting or downloading anything.

    Looks at the argument, ``MISSIONLINK_RUNTIME``, ``COPILOT_CLI_PATH``, our cache (the newest tested version
    first) and ``copilot`` on ``PATH``, in this order. A script (``.js``) needs Node 22 or later: the one in our
    cache, else the one on ``PATH``, which is asked for its version.

    Args:
        explicit: Path of a program or of a script, or a name to be looked up on ``PATH``.
        environ: The environment to read. ``None`` means this process's own.

    Raises:
        RuntimeNotFound: There is none; ``tried`` says for each place why it was refused.
    """
    env = os.environ if environ is None else environ
    tried: list[tuple[str, str]] = []
    named = [("argument", os.fspath(explicit) if explicit is not None else None)]
    named += [(variable, env.get(variable) or None) for variable in NAMED_BY]
    for source, value in named:
        if value is None:
            if source != "argument":
                tried.append((source, "is not set"))
            continue
        found = _named_program(source, value, env)
        if isinstance(found, RuntimeProgram):
            return found
        raise RuntimeNotFound([*tried, (f"{source} {value!r}", found)])
    try:
        root = cache_root(env)
        kept = _installed_in(root)
    except (MissingExtra, OSError) as error:
        tried.append(("cache", str(error)))
    else:
        if kept:
            return kept[0]
        tried.append((f"cache {str(root)!r}", f"holds none of {', '.join(release.version for release in RELEASES)}"))
    on_path = shutil.which("copilot", path=env.get("PATH"))
    if on_path is None:
        raise RuntimeNotFound([*tried, ("PATH", "holds no program 'copilot'")])
    found = _named_program("PATH", on_path, env)
    if isinstance(found, RuntimeProgram):
        return found
    raise RuntimeNotFound([*tried, (f"PATH {on_path!r}", found)])


def installed(*, environ: Mapping[str, str] | None = None) -> tuple[RuntimeProgram, ...]:
    """List the tested releases that are installed in our cache, the newest first.

    Raises:
        MissingExtra: The cache folder cannot be told: platformdirs and ``MISSIONLINK_CACHE`` are both missing.
    """
    return _installed_in(cache_root(os.environ if environ is None else environ))


def placed(root: Path, version: str) -> RuntimeProgram | None:
    """Return the program of one release in a cache; ``None`` when it is not installed there."""
    return next((program for program in _installed_in(root) if program.version == version), None)


def _installed_in(root: Path) -> tuple[RuntimeProgram, ...]:
    key = platform_key()
    kept: list[RuntimeProgram] = []
    for release in RELEASES:
        files = program_files(release_folder(root, release, key), release, key)
        if files and all(file.is_file() for file in files):
            kept.append(RuntimeProgram(tuple(map(str, files)), files[-1], "cache", release.version))
    return tuple(kept)


def _named_program(source: str, value: str, environ: Mapping[str, str]) -> RuntimeProgram | str:
    # Where there is no such user, the path stays as it is; Path.expanduser raises.
    path = Path(os.path.expanduser(value))
    try:
        if not path.exists() and os.path.basename(value) == value:
            found = shutil.which(value, path=environ.get("PATH"))
            if found is None:
                return "is neither a file nor a program on PATH"
            path = Path(found)
        return _program_at(source, path.absolute(), environ)
    except OSError as error:
        # The name is too long, or the way there is closed to us.
        return f"cannot be looked at: {error.strerror}"


def _program_at(source: str, path: Path, environ: Mapping[str, str]) -> RuntimeProgram | str:
    if not path.exists():
        return "is a broken link" if path.is_symlink() else "does not exist"
    if not path.is_file():
        return "is a folder; name the program in it" if path.is_dir() else "is no ordinary file"
    real = _behind_loader(path.resolve())
    if isinstance(real, str):
        return real
    if real.suffix == ".js":
        node = find_node(environ, _cache_or_none(environ))
        if isinstance(node, str):
            return f"is a script for Node: {node}"
        return RuntimeProgram((*node.argv, str(real)), real, source, read_version(real))
    if not os.access(real, os.X_OK):
        return "is not executable"
    return RuntimeProgram((str(real),), real, source, read_version(real))


def _behind_loader(path: Path) -> Path | str:
    # npm puts a small script named copilot on PATH that starts the real program and waits for it. Without it there
    # is one process less to own, and signals and pipes reach the runtime itself.
    if path.name != "npm-loader.js":
        return path
    native = f"copilot-{platform_key()}"
    file = "copilot.exe" if os.name == "nt" else "copilot"
    for candidate in (
        path.parent / "node_modules" / "@github" / native / file,
        path.parent.parent / native / file,
        path.parent / "index.js",
    ):
        if candidate.is_file():
            return candidate
    return f"has no package @github/{native} beside it; npm left it out, so install it again"


def _cache_or_none(environ: Mapping[str, str]) -> Path | None:
    try:
        return cache_root(environ)
    except MissingExtra:
        return None
