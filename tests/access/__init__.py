"""Who may ask a node for what; with real processes it is tested in tests/cluster."""
