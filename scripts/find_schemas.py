"""Print ``VERSION=FOLDER`` for the JSON schemas of each tested runtime that is installed.

A runtime that is a script carries its schemas beside it; a native one unpacks them at its first start.
"""

from __future__ import annotations

import os
import subprocess
import sys

from missionlink.runtime import RuntimeProgram, installed
from missionlink.runtime.cache import cache_root


def schemas(program: RuntimeProgram) -> str:
    """Return the folder with the schemas of one runtime."""
    beside = program.path.with_name("schemas")
    if beside.is_dir():
        return str(beside)
    home = cache_root(os.environ) / "schemas"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [*program.argv, "--no-auto-update", "--version"],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "COPILOT_HOME": str(home / "state")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    for folder in home.glob(f"copilot/pkg/*/{program.version}/schemas"):
        return str(folder)
    sys.exit(f"runtime {program.version} unpacked no schemas below {home}")


for found in installed():
    print(f"{found.version}={schemas(found)}")
