"""A model server that plays a script."""

__all__ = ()
