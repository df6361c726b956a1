"""Options of clients and sessions: frozen objects with documented fields, checked when they are made."""

__all__ = ()
