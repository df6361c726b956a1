"""What a program can set: frozen objects with documented fields, checked when they are made."""

__all__ = ()
