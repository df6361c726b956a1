"""How much an installed SDK takes on the disk, without byte code."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

__all__ = ("installed_size",)


def _requirements(dist: Distribution) -> list[str]:
    """Return the names that a distribution needs without extras."""
    lines = [line for line in dist.requires or [] if "extra ==" not in line]
    return [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]


def _own_bytes(dist: Distribution, package: str) -> int:
    files = [Path(str(dist.locate_file(file))) for file in dist.files or []]
    spec = find_spec(package)
    if spec is not None and spec.submodule_search_locations and not any(file.suffix == ".py" for file in files):
        # An editable install lists no modules: take the package's folder.
        files = [file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


def installed_size(name: str, package: str) -> dict[str, float]:
    """Return megabytes of a distribution alone and with everything that it needs."""
    sizes: dict[str, int] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        try:
            dist = distribution(current)
        except PackageNotFoundError:
            continue  # needed on other platforms or versions only
        key = dist.metadata["Name"].lower()
        if key not in sizes:
            sizes[key] = _own_bytes(dist, package if current == name else current.replace("-", "_"))
            waiting += _requirements(dist)
    return {"own_mb": sizes[name] / 1e6, "all_mb": sum(sizes.values()) / 1e6, "packages": len(sizes)}
