"""What the log drives: a revisioned, multi-version key-value store."""
