"""The tables of `make bench` can be read wherever they go: into a file, through a pipe, on a narrow terminal."""

import io
import re

import pytest
from rich.console import Console

from benchmarks import show, sizes
from benchmarks.__main__ import QUICK, Report
from benchmarks.failover import Failover
from benchmarks.load import Tally
from benchmarks.measure import Figure, Footprint
from benchmarks.stock import Round, StockFigure

MACHINE = {"cores": 2, "memory_gib": 7.8, "filesystem": "ext4", "python": "3.13.9", "load_average": [0.51, 1.0, 1.2]}
TALLY = Tally(26_004, 2.0, 13_002.0, 1.25, 2.5, 9.0, {"503 Service Unavailable": 12, "closed": 3}, 0.2)


def report() -> Report:
    made = Report(MACHINE, QUICK, {"ours": "0.1.0 over /v3/kv/put, of this checkout", "etcd": "3.6.8 over gRPC"}, "all")
    made.loads = [Figure(system, "linearizable", 256, [TALLY]) for system in ("ours", "etcd")]
    made.stock = [StockFigure("ours", load, 1, [Round(1_001.0, 1.5, 9.0, 800.0)]) for load in ("put", "watch")]
    made.stock += [StockFigure("etcd", load, 1, [Round(2_002.0, 3.0, 9.0, 400.0)]) for load in ("put", "watch")]
    made.failover = [Failover("ours", 5, [197.0, 406.0])]
    made.footprint = [Footprint("ours", [0.017, 0.01, 0.01], 0, [40.0] * 3, [145.0] * 3, 100_000)]
    made.overwritten = [sizes.Overwritten(100_000, 10, [140.0, 150.0], [500.0] * 2, [168.0, 165.0])]
    made.filled = [sizes.Filled(1_000_000, 61.0, 700.0, 800.0)]
    made.large = [sizes.Large(1_000_000, [600.0], [700.0], 300.0, 50_000, 9.0, 8.0)]
    made.meanwhile = [sizes.Meanwhile(1_000_000, [TALLY], [TALLY], {}, {"driver": 2}, [9.0])]
    made.caught_up = [sizes.CaughtUp("keys without a past", 300.0, 4.0, 10.0, 11.0, 7.0, 3_000.0)]
    return made


def shown(**console: object) -> str:
    out = io.StringIO()
    show.all_tables(Console(file=out, **console), report())  # type: ignore[arg-type]
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


@pytest.mark.parametrize("console", [{}, {"width": 40}, {"force_terminal": True, "width": 80}], ids=str)
def test_every_row_is_one_line_and_nothing_is_cut(console: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = shown(**console)
    assert "…" not in said
    lines = said.splitlines()
    head = next(line for line in lines if "leader changes" in line)
    row = next(line for line in lines if "linearizable" in line)
    assert [cell.strip() for cell in head.split("┃")[1:-1]] == [
        "load", "clients", "system", "a second", "p50 ms", "p99 ms", "leader changes", "errors", "ours/etcd",
    ]  # fmt: skip
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "linearizable", "256", "ours", "13,002", "1.25", "2.50", "0",
        "12 x 503 Service Unavailable, 3 x closed", "1.00",
    ]  # fmt: skip
    assert sum("requests go to all" in line and "2 cores" in line for line in lines) == 1
    assert sum("of this checkout" in line and "3.6.8" in line for line in lines) == 1
    for cells in (
        ["100,000", "140 150", "10", "500 500", "168 165", "1.20"],
        ["put", "1", "ours", "1,001", "1.50", "9.00", "800", "0.50", "2.00"],
        ["watch", "1", "ours", "1,001", "1.50", "9.00", "800", "2.00", "2.00"],
        ["keys without a past", "300", "4.0", "10.0", "7.0", "31", "11.0"],
    ):
        assert sum([cell.strip() for cell in line.split("│")[1:-1]][: len(cells)] == cells for line in lines) == 1
    assert sum("2 x driver" in line for line in lines) == 1
    assert sum("idle CPU leader" in line and "MiB per 100,000 keys" in line for line in lines) == 1
