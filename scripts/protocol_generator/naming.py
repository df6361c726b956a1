"""How names of the wire become names of Python."""

from __future__ import annotations

import builtins
import keyword
import re

# Words of the wire that the plain rule would tear apart.
WHOLE_WORDS = {"gitHub": "github", "GitHub": "Github", "azureMl": "azureml", "OAuth": "Oauth"}
# Inside a class body, a field with the name of one of these would hide the type from the annotations after it.
TYPES_IN_ANNOTATIONS = {"bool", "bytes", "dict", "float", "int", "list", "object", "str"}


def snake(wire: str) -> str:
    """Return the Python name of a field, parameter, method or namespace."""
    for word, whole in WHOLE_WORDS.items():
        wire = wire.replace(word, whole)
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", wire)
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parted)
    name = re.sub(r"\W", "_", parted).lower().strip("_")
    return name + "_" if keyword.iskeyword(name) or name in TYPES_IN_ANNOTATIONS else name


def camel(wire: str) -> str:
    """Return the class name for a wire name such as ``session.mode_changed`` or ``sessionFs.readFile``."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", wire))


def renamed_by_msgspec(name: str) -> str:
    """Return what ``rename="camel"`` makes of a field name."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def is_builtin(name: str) -> bool:
    """Tell whether a name would hide a builtin."""
    return hasattr(builtins, name)
