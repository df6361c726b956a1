"""Typed methods of the runtime: the classes behind ``client.rpc`` and ``session.rpc``, and all types they use.

The parameters and results of what the runtime asks of the client are here as well. Names are loaded when they are
first used; ``rpc.pyi`` lists them for editors.
"""

from __future__ import annotations

from typing import Any

from missionlink.protocol import index

# A list of a thousand names would be no help to a reader; type checkers and editors have the stub.
__all__ = index.public_names("rpc")  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    value = globals()[name] = index.public("rpc", name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
