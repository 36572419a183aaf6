"""Service-account tokens: JSON Web Tokens that name an account and what they are bound to."""
