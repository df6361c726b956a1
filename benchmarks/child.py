"""The measured process: ``python -m benchmarks.child SIDE WORKLOAD PARAMS OUT``.

``SIDE`` is ``official``, ``missionlink`` or ``limit:STAGE``, ``PARAMS`` a JSON object, ``OUT`` the file that the
result is written to. A process measures once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ("measure",)

#: Name of the distribution and of its package.
_DISTRIBUTIONS = {"official": ("github-copilot-sdk", "copilot"), "missionlink": ("missionlink", "missionlink")}


def _decode(side: str, params: dict[str, Any]) -> dict[str, float]:
    from benchmarks.meter import Meter
    from benchmarks.traffic import RECORDING

    decode = import_module(f"benchmarks.sides.{side}").decode
    lines = Path(RECORDING).read_bytes().splitlines() * params["repeat"]
    decode(lines[:500])
    meter = Meter()
    typed = decode(lines)
    return {**meter.spent(len(lines)), "typed_share": typed / len(lines)}


def measure(side: str, workload: str, params: dict[str, Any]) -> dict[str, float]:
    """Run one workload on one side in this process."""
    name, _, stage = side.partition(":")
    if name == "limit":
        return import_module("benchmarks.sides.limit").LIMITS[workload](stage, params)
    if workload == "size":
        from benchmarks.sizes import installed_size

        return installed_size(*_DISTRIBUTIONS[name])
    if workload == "decode":
        return _decode(name, params)
    from benchmarks.workloads import WORKLOADS

    module = import_module(f"benchmarks.sides.{name}")
    return asyncio.run(WORKLOADS[workload](getattr(module, name.capitalize()), params))


if __name__ == "__main__":
    _, side, workload, params, out = sys.argv
    result = measure(side, workload, json.loads(params))
    Path(out).write_text(json.dumps(result), encoding="utf-8")
