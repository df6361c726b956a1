"""Reads results of requests; one that has another form than is known keeps its JSON in the error."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from missionlink.errors import UnexpectedResult
from missionlink.protocol.reader import read

__all__ = ("Success", "read_result")

_Result = TypeVar("_Result")


class Success(msgspec.Struct):
    """The result of methods that say in it whether they did what was asked for."""

    success: bool = True
    error: str | None = None

    @property
    def reason(self) -> str:
        """Why not."""
        return self.error or "the runtime gave no reason"


def read_result(method: str, result: msgspec.Raw, kind: type[_Result] | Any = Any) -> _Result:
    """Decode a result.

    Raises:
        UnexpectedResult: It does not have the form of ``kind``, or is no valid JSON.
    """
    try:
        decoded: _Result = read(result, kind)
    except (ValueError, RecursionError) as error:
        raise UnexpectedResult(method, bytes(result), str(error)) from error
    return decoded
