"""What is wrong with a node so that somebody must act: each alarm is true while its condition is."""

import msgspec
import pytest

from node.observe.alarms import ALARMS, alarms_of
from node.observe.health import READY_DISK_SILENT_US_MAX
from node.runtime.ports import Status, StoreSummary
from tests.observe.status import node_status

FULL = StoreSummary(size_bytes=100, quota_bytes=100)


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (node_status(), []),
        (node_status(store=None), []),
        (node_status(store=StoreSummary(size_bytes=100, quota_bytes=0)), []),
        (node_status(store=StoreSummary(size_bytes=99, quota_bytes=100)), []),
        (node_status(store=FULL), ["NOSPACE"]),
        (node_status(log_bytes=(1 << 20) - 1024), []),
        (node_status(log_bytes=(1 << 20) - 1023), ["LOG_FULL"]),
        (node_status(disk_silent_us=READY_DISK_SILENT_US_MAX), []),
        (node_status(vote_lost=True), ["VOTE_LOST"]),
        (node_status(disk_silent_us=READY_DISK_SILENT_US_MAX + 1, store=FULL), ["NOSPACE", "DISK_SILENT"]),
    ],
)
def test_an_alarm_is_raised_while_its_condition_holds(status: Status, names: list[str]) -> None:
    assert [alarm.name for alarm in alarms_of(status)] == names


def test_names_are_one_word_and_messages_end_in_the_middle_of_a_sentence() -> None:
    for alarm in ALARMS:
        assert alarm.name.replace("_", "").isupper()
        assert alarm.message[0].islower()
        assert not alarm.message.endswith(".")


def test_a_node_of_before_is_read_as_one_whose_store_is_not_known() -> None:
    """Nodes of two versions tell each other how they are."""
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(node_status()))
    del told["store"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Status).store is None
