"""Write docs/reference/api.md, the list of the public names, from the docstrings. ``--check`` only compares."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import missionlink

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"

GROUPS: dict[str, str] = {
    "Clients": "AsyncClient Client SessionOpening SessionInfo LifecycleEvent",
    "Sessions": "Session Subscription EventStream",
    "Turns": "Turn TurnResult Attachment QueuedPrompt",
    "Options": "SessionOptions ClientOptions CloudOptions Repository Provider SystemMessage PendingLimits WireMessage",
    "Events": "Event UnknownEvent EventsLost",
    "Permissions": "Permissions Allow Deny Decision PermissionRequest ShellPermission WritePermission ReadPermission "
    "UrlPermission McpPermission ToolPermission MemoryPermission HookPermission",
    "Requests to the user": "UserInputRequest UserInputResponse ElicitationRequest ElicitationResult ExitPlanRequest "
    "ExitPlanResponse AutoModeSwitch PENDING PendingRequest",
    "Tools and commands": "tool Tool ToolContext ToolResult ToolError Binary Command CommandCall nonblocking",
    "Hooks": "Hooks",
}
"""Titles, and the names of the package that stand under them; a test wants each name once."""
MODULES = ("hooks", "storage", "model_requests", "tokens", "errors", "testing", "mission_control", "runtime")
"""Modules whose names are listed in a line each."""

_HEAD = """\
# The public names

All that programs may use, with its first sentence; `help(name)` and editors show the rest: units, defaults and errors.
`missionlink.events` and `missionlink.rpc` have [tables of their own](events.md) [for each](rpc.md). `Client` and what
comes from it have the names of `AsyncClient` and its own without `async`, and are not listed again.

`scripts/renew_api_reference.py` writes this page from the docstrings.
"""


class Member(NamedTuple):
    """One thing that a class has."""

    form: str
    what: str


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(name, getattr(missionlink, name)) for name in names.split()]
    for module in MODULES:
        parts.append(_module(importlib.import_module(f"missionlink.{module}")))
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> str:
    lines = [f"### {name}\n"]
    if inspect.isclass(thing):
        lines.append(f"{_paragraph(thing.__doc__)}\n")
        members = [] if name == "Client" else list(_members(thing))
        if members:
            lines += ["| member | what it is |", "| --- | --- |"]
            lines += [f"| `{_cell(form)}` | {_cell(what)} |" for form, what in members]
            lines.append("")
    elif inspect.isfunction(thing):
        lines.append(f"`{name}{_signature(thing)}`: {_paragraph(thing.__doc__)}\n")
    else:
        lines.append(f"{_paragraph(_doc_of_constant('missionlink', name))}\n")
    return "\n".join(lines)


def _members(kind: type) -> Iterator[Member]:
    # Bases first, as a reader would read them; what a class says anew replaces what its base said.
    found: dict[str, Member] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("missionlink"):
            continue
        described = _attributes(base)
        for name in {**dict.fromkeys(_fields_of(base)), **described}:
            if name in described or name not in found:
                found[name] = Member(name, _paragraph(described.get(name)))
        for name, value in vars(base).items():
            member = _member(name, value)
            if member is not None:
                found[name] = member
    yield from found.values()


def _member(name: str, value: Any) -> Member | None:
    if name.startswith("_"):
        return None
    inner = getattr(value, "__func__", value)  # what a class or static method stands on
    if isinstance(inner, property):
        return Member(name, _paragraph(inner.__doc__))
    if inspect.isfunction(inner) and inner.__doc__:
        before = "await " if inspect.iscoroutinefunction(inner) else ""
        return Member(f"{before}{name}{_signature(inner)}", _paragraph(inner.__doc__))
    return None


def _signature(function: Any) -> str:
    names: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not any(one.startswith("*") for one in names):
            names.append("*")
        names.append(f"{star}{parameter.name}{'' if parameter.default is parameter.empty else '=…'}")
    return f"({', '.join(names)})"


def _fields_of(kind: type) -> list[str]:
    """Return the fields that a record has, whether they are described or not."""
    own = vars(kind).get("__annotations__", {})
    is_record = hasattr(kind, "__struct_fields__") or hasattr(kind, "__dataclass_fields__")
    return [name for name in own if is_record and not name.startswith("_")]


def _attributes(kind: type) -> dict[str, str]:
    """Return the attributes of a class that have a docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    return {name: what for name, what in _documented(body) if not name.startswith("_")}


def _doc_of_constant(package: str, name: str) -> str | None:
    """Return the docstring of a constant, from that module of a package which makes it."""
    for module in [one for path, one in sys.modules.items() if f"{path}.".startswith(f"{package}.")]:
        if name in vars(module):
            found = dict(_documented(ast.parse(inspect.getsource(module)).body))
            if name in found:
                return found[name]
    return None


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield target.id, str(after.value.value)


def _module(module: Any) -> str:
    lines = [f"## {module.__name__}\n", f"{_paragraph(module.__doc__)}\n", "| name | what it is |", "| --- | --- |"]
    for name in sorted(module.__all__, key=str.lower):
        thing = getattr(module, name)
        described = inspect.isclass(thing) or inspect.isfunction(thing)
        what = thing.__doc__ if described else _doc_of_constant(module.__name__, name)
        lines.append(f"| `{name}` | {_cell(_paragraph(what))} |")
    return "\n".join([*lines, ""])


def _paragraph(doc: str | None) -> str:
    """Return the first paragraph in one line, in Markdown."""
    return " ".join(re.sub(r"``", "`", inspect.cleandoc(doc or "").split("\n\n")[0]).split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is out of date")
    page = render()
    if not parser.parse_args().check:
        PAGE.write_text(page)
    elif PAGE.read_text() != page:
        print("docs/reference/api.md is out of date: run python scripts/renew_api_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
