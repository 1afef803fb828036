"""The dead man's switch: whatever happens to the tool, what it broke is taken back within a minute.

`port.py` what a run knows of it, `process.py` the tool's end of the one for a local cluster, `healer.py` that process
itself. The one for Kubernetes is a Job there: `chaos/targets/kubernetes/deadman.py`.
"""
