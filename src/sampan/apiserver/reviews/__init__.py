"""Reviews: questions to the server about identities and permissions, and tokens for service accounts."""

from sampan.apiserver.reviews.handlers import handlers

__all__ = ["handlers"]
