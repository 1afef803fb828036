"""A release of the chart in Kubernetes, as a target (`target.py`): the one room of this tool that knows Kubernetes."""
