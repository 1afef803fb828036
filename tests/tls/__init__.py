"""TLS of nodes: contexts, names, the door, renewal; with real processes it is tested in tests/cluster."""
