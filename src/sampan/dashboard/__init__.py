"""The web console: static files that the API server hands out, and what makes a token to sign in with."""
