"""Who makes a request."""

from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.authenticators import Authenticators
from sampan.apiserver.authn.impersonation import asked, impersonate

__all__ = ["AccountTokens", "Authenticators", "asked", "impersonate"]
