"""Where pods run: nodes in arrays, filters and scores as vector operations, refusals that explain themselves."""
