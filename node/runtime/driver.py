"""One core, synchronous: `handle(events, now)`. The simulator runs this very code."""
