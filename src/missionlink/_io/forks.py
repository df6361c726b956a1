"""Cleans up after a fork: closes inherited copies of descriptors, and marks inherited connections.

Otherwise the copies keep pipes open: a runtime whose client has gone would wait for more, and our end would go
unnoticed.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Inheritable", "close_in_forks")


class Inheritable(Protocol):
    """An object that a forked process cannot use."""

    def descriptors(self) -> Iterable[int]:
        """Return the open file descriptors that the forked process must not keep."""
        ...

    def forked(self) -> None:
        """Take note, in the forked process, that this object belongs to the other one. Must do no I/O."""
        ...


_inherited: weakref.WeakSet[Inheritable] = weakref.WeakSet()


def close_in_forks(owner: Inheritable) -> None:
    """Close an object's descriptors in each process that is forked off from now on, as long as the object lives."""
    _inherited.add(owner)


def _in_child() -> None:
    owners = list(_inherited)
    _inherited.clear()
    try:
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        # No descriptor is left, or there is no such device.
        nowhere = None
    for owner in owners:
        for descriptor in owner.descriptors():
            _give_up(descriptor, nowhere)
        owner.forked()
    if nowhere is not None:
        os.close(nowhere)


def _give_up(descriptor: int, nowhere: int | None) -> None:
    """Close a descriptor in effect. Its number stays in use: objects of the event loop will close it once more."""
    with contextlib.suppress(OSError):
        if nowhere is None:
            os.close(descriptor)
        else:
            os.dup2(nowhere, descriptor, inheritable=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
