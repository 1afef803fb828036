"""The Raft algorithm, pure: events in, effects out.

Nothing in this package reads a clock, draws chance, opens a file or a socket, logs, or iterates over a set.
Time enters as `now` (integer microseconds of a monotonic clock), chance as an object with `.random()`,
identifiers as values. The same events with the same seed give the same bytes, in any process, for ever.

"Section N" in this package means Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended
Version)"; "thesis N" means Ongaro's dissertation "Consensus: Bridging Theory and Practice"; "pitfall N" is number N of
docs/pitfalls.md.
"""
