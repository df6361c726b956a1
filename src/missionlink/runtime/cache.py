"""Cache of installed runtimes: ``<cache>/runtime/<version>/<platform>``.

The platform is part of the path because a home folder can be shared by machines of several kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from missionlink.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.runtime.releases import Release

__all__ = ("cache_root", "program_files", "release_folder")


def cache_root(environ: Mapping[str, str]) -> Path:
    """Name the folder for all that missionlink keeps and can fetch again.

    ``MISSIONLINK_CACHE`` names it, else it is the user's cache folder as the platform has it.

    Raises:
        MissingExtra: The variable is not set and platformdirs is not installed.
    """
    named = environ.get("MISSIONLINK_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    try:
        import platformdirs  # an optional extra
    except ImportError as error:
        raise MissingExtra("runtime", "missionlink's cache folder (or set MISSIONLINK_CACHE)") from error
    return platformdirs.user_cache_path("missionlink")


def release_folder(root: Path, release: Release, platform: str) -> Path:
    """Name the folder of one release for one platform; it need not exist."""
    return root / "runtime" / release.version / platform


def program_files(folder: Path, release: Release, platform: str) -> tuple[Path, ...]:
    """List the files that make up the command line, in order; empty when the platform has no package."""
    return tuple(
        folder.joinpath("node_modules", *package.name.split("/"), *package.file.split("/"))
        for package in release.packages.get(platform, ())
    )
