"""One command a file, imported when it is called: ``--help`` of the whole must answer at once."""

__all__ = ()
