"""Table columns of every kind, as upstream's server prints them; `kubectl get` shows these."""
