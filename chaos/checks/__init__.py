"""Verdicts: pure functions of what was recorded."""
