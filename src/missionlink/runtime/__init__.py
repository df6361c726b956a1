"""The program that missionlink talks to: find it, list it, install it.

Nothing here downloads anything unless ``install`` is called. ``missionlink runtime`` does the same for a shell.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink.runtime.installation import install as install
    from missionlink.runtime.location import installed as installed
    from missionlink.runtime.location import locate as locate
    from missionlink.runtime.program import RuntimeProgram as RuntimeProgram
    from missionlink.runtime.releases import RELEASES as RELEASES
    from missionlink.runtime.releases import Release as Release
    from missionlink.runtime.releases import find_release as find_release

__all__ = ("RELEASES", "Release", "RuntimeProgram", "find_release", "install", "installed", "locate")

_HOMES = {
    "RELEASES": "releases",
    "Release": "releases",
    "RuntimeProgram": "program",
    "find_release": "releases",
    "install": "installation",
    "installed": "location",
    "locate": "location",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
