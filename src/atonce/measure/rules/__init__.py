"""How long the results of each torch operation wait, by family of operations."""
