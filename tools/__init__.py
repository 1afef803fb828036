"""What `make` runs before anything is installed. Not a part of what is installed."""
