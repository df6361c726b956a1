"""Doubles for tests: a fake runtime and a scripted model."""
