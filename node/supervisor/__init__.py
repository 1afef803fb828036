"""Many nodes on one machine: starts them, watches them, tells what happened, and leaves no process behind.

`supervisor.py` is the loop; `layout.py` owns the data folder, `child.py` one process, `lifeline.py` the promise that
nobody outlives a parent, `watch.py` what nodes say over HTTP, `narrator.py` how that reads, `control.py` the way in.
`monitor.py` serves the page of all nodes, with `doorway.py`, `overview.py`, `forward.py`, `streams.py` and `output.py`.
"""
