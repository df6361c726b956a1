"""``missionlink runtime``: install, list and find the agent runtime."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from missionlink.cli.output import json_option, print_columns, print_json
from missionlink.errors import RuntimeNotFound

if TYPE_CHECKING:
    from missionlink.runtime import RuntimeProgram

__all__ = ("runtime",)


@click.group()
def runtime() -> None:
    """Install, list and find the agent runtime."""


@runtime.command("install")
@click.argument("version", required=False)
@click.option("--all", "every", is_flag=True, help="Install every tested version.")
@click.option("--force", is_flag=True, help="Install anew what is installed already.")
@json_option
def _install(version: str | None, every: bool, force: bool, as_json: bool) -> None:
    """Install the runtime into the user's cache, with npm.

    VERSION is one of the tested versions, "newest" (the default) or "oldest". What is installed already is left as
    it is. MISSIONLINK_CACHE names another cache.
    """
    from missionlink import runtime as programs

    if every and version is not None:
        raise click.UsageError("name a version or say --all, not both")
    wanted = [release.version for release in programs.RELEASES] if every else [version]
    done = [programs.install(one, force=force, report=lambda line: click.echo(line, err=True)) for one in wanted]
    if as_json:
        print_json([_facts(program) for program in done])
        return
    for program in done:
        click.echo(f"runtime {program.version} is installed: {program.path}")


@runtime.command("list")
@json_option
def _list(as_json: bool) -> None:
    """List the tested versions and where they are installed."""
    from missionlink import runtime as programs

    there = {program.version: program for program in programs.installed()}
    if as_json:
        print_json(
            [
                {
                    "version": release.version,
                    "family": release.family,
                    "installed": _facts(there[release.version]) if release.version in there else None,
                }
                for release in programs.RELEASES
            ]
        )
        return
    rows = [("VERSION", "STANDS FOR", "INSTALLED")]
    for release in programs.RELEASES:
        program = there.get(release.version)
        rows.append((release.version, release.family, str(program.path) if program else "no"))
    print_columns(rows)


@runtime.command("path")
@click.argument("version", required=False)
@json_option
def _path(version: str | None, as_json: bool) -> None:
    """Print the command line of the runtime, quoted for a shell.

    Without VERSION it is the one that a client would start. With VERSION ("newest", "oldest" or a tested version)
    it is the one in the cache.
    """
    from missionlink import runtime as programs

    program = programs.locate() if version is None else _installed(version)
    if as_json:
        print_json(_facts(program))
    else:
        click.echo(shlex.join(program.argv) if os.name == "posix" else " ".join(f'"{word}"' for word in program.argv))


def _installed(version: str) -> RuntimeProgram:
    from missionlink import runtime as programs

    release = programs.find_release(version)
    for program in programs.installed():
        if program.version == release.version:
            return program
    raise RuntimeNotFound(
        [("cache", f"does not hold {release.version}; type: missionlink runtime install {release.version}")]
    )


def _facts(program: RuntimeProgram) -> dict[str, object]:
    return {
        "version": program.version,
        "argv": list(program.argv),
        "path": str(program.path),
        "source": program.source,
    }
