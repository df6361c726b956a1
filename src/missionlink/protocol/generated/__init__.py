"""Typed events and methods, made from the schemas: import them from the facades."""
