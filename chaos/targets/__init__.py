"""Where clusters live: one port, two implementations."""
