"""Who follows the store's changes, and what they are told."""
