"""Watches of real nodes under faults, recorded and judged by etcd's guarantees."""
