"""Comparison of sets of context variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import contextvars

__all__ = ("are_alike",)

_MISSING = object()


def are_alike(one: contextvars.Context, other: contextvars.Context) -> bool:
    """Whether both hold the very same objects.

    Equal objects would not do: one of them may be changed later, and some cannot be compared.
    """
    return len(one) == len(other) and all(other.get(variable, _MISSING) is value for variable, value in one.items())
