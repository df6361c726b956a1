"""Turns the reduced schemas of runtimes into the typed part of the package."""
