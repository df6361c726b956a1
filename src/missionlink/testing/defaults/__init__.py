"""Default responses of the fake runtime."""

__all__ = ()
