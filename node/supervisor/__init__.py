"""Many nodes on one machine: starts them, watches them, tells what happened."""
