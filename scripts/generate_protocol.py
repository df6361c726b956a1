"""Generate the typed protocol, its stubs and its reference from ``schema/``.

Usage: generate_protocol.py [--check]

Without options the output is written; with ``--check`` nothing is written, and the exit code is 1 if the files on
disk differ from what would be.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from protocol_generator import descriptions, model, write_names
from protocol_generator import layout as layouts
from protocol_generator.write_methods import MethodModules
from protocol_generator.write_reference import event_reference, method_reference
from protocol_generator.write_types import TypeModules

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "src/missionlink/protocol/generated"


def outputs() -> dict[str, str]:
    """Return the text of each generated file by its path below the root."""
    protocol = model.load(ROOT / "schema")
    layout = layouts.arrange(protocol)
    texts = descriptions.read(ROOT / "schema" / "descriptions.toml", protocol)
    types = TypeModules(layout, descriptions.class_docs(texts, protocol, layout))
    names = write_names.public_names(layout)
    modules = {
        "__init__": '"""Typed events and methods, made from the schemas: import them from the facades."""\n',
        "names": write_names.names_module(layout),
        "methods": write_names.methods_module(protocol, layout),
        "public": write_names.public_module(names),
    }
    methods = MethodModules(protocol, layout, types, texts.methods)
    modules |= methods.modules()
    for module in sorted(set(layout.module_of.values()) - modules.keys()):
        if module.startswith("client_"):
            modules[module] = types.module(module, *write_names.request_table(layout, module))
        else:
            modules[module] = types.module(module)
    files = {f"{GENERATED}/{name}.py": text for name, text in modules.items()}
    files |= {f"src/missionlink/{name}.pyi": text for name, text in write_names.stubs(names).items()}
    files["src/missionlink/blocking/rpc.pyi"] = methods.blocking_stub()
    files["docs/reference/events.md"] = event_reference(protocol, layout, texts)
    files["docs/reference/rpc.md"] = method_reference(protocol, layout, texts)
    return files


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
