"""Durable term, vote and log: a write-ahead log on a small file port."""
