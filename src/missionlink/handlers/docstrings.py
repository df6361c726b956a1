"""What a docstring says of a function and of its parameters: Google, NumPy and Sphinx style."""

from __future__ import annotations

import inspect
import re

__all__ = ("parse_docstring",)

_GOOGLE_SECTION = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?|Notes?|Warnings?|See Also|Attributes)\s*:\s*"
)
_PARAMETER_SECTIONS = ("Args", "Arguments", "Parameters", "Params")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+(?:\s*,\s*\w+)*)\s*(:.*)?")
_UNDERLINE = re.compile(r"-{3,}\s*")
_SPHINX_ENTRY = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(?P<name>\w+)\s*:\s*(?P<text>.*)")
_SPHINX_FIELD = re.compile(r":[A-Za-z]+[^:]*:")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return what comes before the sections, and a text for each parameter that has one."""
    lines = inspect.cleandoc(text or "").splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    place = 0
    while place < len(lines):
        line = lines[place]
        if _SPHINX_FIELD.match(line):
            place = _sphinx(lines, place, parameters)
        elif found := _GOOGLE_SECTION.fullmatch(line):
            place = _section(lines, place + 1, parameters if found[1] in _PARAMETER_SECTIONS else None)
        elif place + 1 < len(lines) and line and _UNDERLINE.fullmatch(lines[place + 1]):
            place = _numpy(lines, place, parameters)
        else:
            description.append(line)
            place += 1
    return "\n".join(description).strip(), {name: text for name, text in parameters.items() if text}


def _block(lines: list[str], place: int) -> tuple[list[str], int]:
    """Return the indented lines from a place on, and where they end."""
    end = place
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    return inspect.cleandoc("\n" + "\n".join(lines[place:end])).splitlines(), end


def _section(lines: list[str], place: int, parameters: dict[str, str] | None) -> int:
    block, end = _block(lines, place)
    name = ""
    for line in block if parameters is not None else ():
        assert parameters is not None
        if line[:1].isspace() or not line:
            if name and line.strip():
                parameters[name] = f"{parameters[name]} {line.strip()}".strip()
        elif found := _GOOGLE_ENTRY.match(line):
            name = found["name"]
            parameters[name] = found["text"].strip()
        else:
            name = ""
    return end


def _numpy(lines: list[str], place: int, parameters: dict[str, str]) -> int:
    wanted = lines[place].strip() in _PARAMETER_SECTIONS
    place += 2
    names: list[str] = []
    while place < len(lines):
        line = lines[place]
        if place + 1 < len(lines) and line.strip() and _UNDERLINE.fullmatch(lines[place + 1]):
            break
        if line[:1].isspace():
            for name in names:
                parameters[name] = f"{parameters[name]} {line.strip()}".strip()
        elif wanted and (found := _NUMPY_ENTRY.fullmatch(line)):
            names = [name.strip() for name in found["name"].split(",")]
            parameters.update(dict.fromkeys(names, ""))
        else:
            names = []
        place += 1
    return place


def _sphinx(lines: list[str], place: int, parameters: dict[str, str]) -> int:
    found = _SPHINX_ENTRY.match(lines[place])
    rest, end = _block(lines, place + 1)
    if found:
        parameters[found["name"]] = " ".join([found["text"], *(line.strip() for line in rest)]).strip()
    return end
