"""The schemas that the package is generated from are those of the runtimes under test."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missionlink import AsyncClient

from .real_runtime import command_of

if TYPE_CHECKING:
    from .real_runtime import RealRuntime

ROOT = Path(__file__).resolve().parents[2]


def reduction() -> Any:
    """``scripts/reduce_schema.py``, which ``make schema`` runs."""
    spec = importlib.util.spec_from_file_location("reduce_schema", ROOT / "scripts" / "reduce_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def schemas_of(runtime: RealRuntime, version: str) -> Path:
    """A native runtime has unpacked its schemas; one that is a script carries them beside it."""
    if runtime.is_newer:
        (found,) = Path(os.environ["XDG_CACHE_HOME"]).glob(f"copilot/pkg/*/{version}/schemas")
        return found
    words = command_of(runtime.family)
    # The command may be a shell script round the real one.
    inside = [x for word in words if word.endswith(".sh") for x in shlex.split(Path(word).read_text(), comments=True)]
    (entry,) = (word for word in [*words, *inside] if word.endswith("index.js"))
    return Path(entry).with_name("schemas")


async def test_the_reduced_schemas_are_what_the_runtimes_carry(runtime: RealRuntime, tmp_path: Path) -> None:
    async with AsyncClient(runtime.options(tmp_path)) as client:
        version = client.runtime_version
    assert version is not None
    script = reduction()
    model, sums = script.reduce_runtime(version, schemas_of(runtime, version))
    assert json.loads((ROOT / "schema" / "PINNED.json").read_text())[version]["sha256"] == sums
    assert script.render(model) == (ROOT / "schema" / f"{version}.json").read_text()
