"""Texts that keep to themselves: they are what they are for every use, and ``repr`` masks them.

Error services show the variables of each frame of a traceback, by their ``repr``. So what holds a secret while
something may fail holds it in this form: in environments, in parameters of requests, in arguments of programs.
"""

from __future__ import annotations

__all__ = ("MASK", "Secret", "plain")

MASK = "***"


class Secret(str):
    """A text that is masked, or shown in another form, where it is represented; a copy of it is a plain text.

    Args:
        text: The text.
        shown: What stands for it.
    """

    def __new__(cls, text: str, shown: str = MASK) -> Secret:
        """Make it."""
        made = super().__new__(cls, text)
        made.shown = shown
        return made

    shown: str
    """What stands for it."""

    def __repr__(self) -> str:
        return repr(self.shown)

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return type(self), (str(self), self.shown)


def plain(value: object) -> str:
    """Return a ``Secret`` as the encoder of JSON takes it; the encoder's hook for what it does not know.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, Secret):
        return str(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
