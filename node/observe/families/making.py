"""Metrics of one value, and counters with labels, in one line each."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from node.observe.messages import type_name


def gauge(name: str, documentation: str, value: float) -> Metric:
    """One value, without labels."""
    return GaugeMetricFamily(name, documentation, value=value)


def counter(name: str, documentation: str, labels: list[str], counts: dict[tuple[str, ...], int]) -> Metric:
    """`counts`: by the values of the labels, in their order; `()` where there are none."""
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def single(counts: dict[str, int]) -> dict[tuple[str, ...], int]:
    """The counts of one label."""
    return {(name,): count for name, count in counts.items()}


def by_type(counts: Mapping[type, int]) -> dict[tuple[str, ...], int]:
    """The counts of one label, which is the kind of a message."""
    return {(type_name(kind),): count for kind, count in counts.items()}
