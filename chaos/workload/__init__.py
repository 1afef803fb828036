"""Recording clients and their history."""
