"""A Raft node: the algorithm, its log on disk, its links, its API. See docs/architecture.md."""

__version__ = "0.1.0"
