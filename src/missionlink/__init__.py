"""Python SDK for programs that drive the GitHub Copilot agent runtime."""

__version__ = "0.1.0"
