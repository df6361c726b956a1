"""Permission requests, decisions, policies and the matching of their rules."""

__all__ = ()
