"""One file a fault: inject, prove, revert."""
