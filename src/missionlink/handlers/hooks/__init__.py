"""Hooks: registration, inputs, outputs and execution."""

__all__ = ()
