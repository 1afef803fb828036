"""What etcd's benchmark prints is read as it is printed; what it does not say is an error, never a figure."""

import pytest

from benchmarks.stock import Round, parse
from benchmarks.systems import BenchmarkError

SUMMARY = """
Summary:
  Total:\t4.7518 secs.
  Slowest:\t0.0711 secs.
  Requests/sec:\t{rate}

Response time histogram:
  0.0018 [1]\t|
  0.0087 [914]\t|∎∎∎∎

Latency distribution:
  10% in 0.0026 secs.
  50% in {median} secs.
  95% in 0.0110 secs.
  99% in 0.0210 secs.
  99.9% in 0.0711 secs.
"""
PUTS = SUMMARY.format(rate="210.4474", median="0.0036")


def test_a_summary_is_read() -> None:
    assert parse(PUTS, 812.5) == Round(210.4474, 3.6, 21.0, 812.5)


def test_of_a_watch_the_events_count_and_not_the_puts() -> None:
    events = SUMMARY.format(rate="9640.7084", median="0.0010")
    said = f"\nPut summary:\n{PUTS}\nWatch events summary:\n{events}"
    assert parse(said, 1.0) == Round(9640.7084, 1.0, 21.0, 1.0)


@pytest.mark.parametrize("said", ["", "Summary:\n", PUTS.replace("99%", "98%"), PUTS.replace("Requests/sec", "Rate")])
def test_anything_else_is_no_figure(said: str) -> None:
    with pytest.raises(BenchmarkError, match="no summary"):
        parse(said, 1.0)
