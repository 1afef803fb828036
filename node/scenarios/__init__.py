"""The classic situations of Raft, played by real processes and explained as they happen: prediction first, then what
was seen.

`catalogue.py` lists them; one module a scenario. `story.py` is what a scenario speaks through, `narrator.py` how that
is printed, `nodes.py` the processes, `cluster.py` what is asked of them over HTTP, `faults.py` cuts and the proof that
they hold, `timeline.py` the nodes' own events in words, `run.py` one scenario from start to verdict.

Why it exists: a rule of consensus is believed when somebody says beforehand what will happen, and then it does. It
must not know more of a node than any client: everything goes over HTTP and signals.
"""
