"""The metrics of a node, by what they tell of; `node.observe.metrics` puts them together."""
