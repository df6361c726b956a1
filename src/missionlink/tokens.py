"""Tokens for GitHub that the program brings when the runtime needs one, for ``token_provider`` of the client."""

from missionlink.options.tokens import GitHubToken, TokenRequest

__all__ = ("GitHubToken", "TokenRequest")
