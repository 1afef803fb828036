"""What the nodes of a cluster are: one module per kind, beside `targets`, which knows where they run."""
