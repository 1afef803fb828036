"""What is seen of a node: one event trace, metrics, health, structured logs."""
