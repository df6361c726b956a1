"""Messages, events and their types. No behaviour, no I/O."""

__all__ = ()
