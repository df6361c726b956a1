"""Generate the typed protocol from ``schema/``.

Usage: generate_protocol.py [--check]

Without options the output is written; with ``--check`` nothing is written, and the exit code is 1 if the files on
disk differ from what would be.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from protocol_generator import layout as layouts
from protocol_generator import model
from protocol_generator.write_names import names_module
from protocol_generator.write_types import TypeModules

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "src/missionlink/protocol/generated"


def outputs() -> dict[str, str]:
    """Return the text of each generated file by its path below the root."""
    protocol = model.load(ROOT / "schema")
    layout = layouts.arrange(protocol)
    types = TypeModules(layout, {})
    files = {"__init__": '"""Typed events and methods, made from the schemas: import them from the facades."""\n'}
    files["names"] = names_module(layout)
    for module in sorted(set(layout.module_of.values())):
        if module.startswith(("events_", "types_")):
            files[module] = types.module(module, "Types.")
    return {f"{GENERATED}/{name}.py": text for name, text in files.items()}


def stale(files: dict[str, str]) -> list[str]:
    """Return the paths that are missing, differ, or should not be there."""
    there = {str(x.relative_to(ROOT)) for x in (ROOT / GENERATED).glob("*.py")}
    wrong = [path for path, text in files.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    return sorted({*wrong, *(there - files.keys())})


def main(arguments: list[str]) -> int:
    """Write or check the generated files."""
    files = outputs()
    changed = stale(files)
    if "--check" in arguments:
        for path in changed:
            print(f"{path} is not what the generator makes: run 'make generate'")
        return 1 if changed else 0
    for path in changed:
        target = ROOT / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path])
        else:
            target.unlink()
    print(f"{len(changed)} of {len(files)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
