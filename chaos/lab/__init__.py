"""Clusters of other systems that this tool starts itself, to be broken: their processes, and the links between them."""
