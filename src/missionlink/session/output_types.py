"""Types of ``output_type`` for type checkers; no program imports it when it runs."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

__all__ = ("OutputAdapter",)

_Value_co = TypeVar("_Value_co", covariant=True)


class OutputAdapter(Protocol[_Value_co]):
    """A ``pydantic.TypeAdapter``, or what has the same two methods."""

    def validate_json(self, data: str | bytes | bytearray, /) -> _Value_co:
        """Return the value of a JSON text."""
        ...

    def json_schema(self, *, schema_generator: Any = ...) -> dict[str, Any]:
        """Return the JSON schema."""
        ...
