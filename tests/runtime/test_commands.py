"""The table of commands: what is read, and what is refused with the argument's name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.runtime.commands import COMMANDS, BadArgument, check, find


def refused(command: str, **given: Any) -> str:
    spec = find(command)
    assert spec is not None
    with pytest.raises(BadArgument) as caught:
        check(spec, given)
    return f"{caught.value.field}: {caught.value}"


def taken(command: str, **given: Any) -> dict[str, Any]:
    spec = find(command)
    assert spec is not None
    return dict(check(spec, given))


def test_defaults_fill_what_is_left_out() -> None:
    assert taken("cut_link", peer="n2") == {"peer": "n2", "direction": "both", "seconds": 30.0}
    assert taken("delay_link", peer="n2", ms="250", direction="in", seconds=2) == {
        "peer": "n2", "direction": "in", "ms": 250.0, "seconds": 2.0,
    }  # fmt: skip
    assert taken("transfer_leadership") == {"target": ""}
    assert taken("recover") == {}


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("cut_link", {}, "peer: cut_link needs peer"),
        ("cut_link", {"peer": ""}, "peer: peer is empty"),
        ("cut_link", {"peer": 7}, "peer: peer is a text"),
        ("cut_link", {"peer": "n2", "direction": "up"}, "direction: direction is one of: in, out, both"),
        ("cut_link", {"peer": "n2", "seconds": 0}, "seconds: seconds is a number from 0.1 to 600"),
        ("cut_link", {"peer": "n2", "seconds": 601}, "seconds: seconds is a number"),
        ("cut_link", {"peer": "n2", "seconds": "nan"}, "seconds: seconds is a number"),
        ("cut_link", {"peer": "n2", "seconds": True}, "seconds: seconds is a number"),
        ("cut_link", {"peer": "n2", "seconds": [1]}, "seconds: seconds is a number"),
        ("drop_link", {"peer": "n2", "percent": 101}, "percent: percent is a number from 1 to 100"),
        ("recover", {"peer": "n2"}, "peer: recover has no argument 'peer': it takes none"),
        (
            "transfer_leadership",
            {"tagret": "n2"},
            "tagret: transfer_leadership has no argument 'tagret': it takes target",
        ),
    ],
)
def test_a_bad_argument_is_named(command: str, given: dict[str, Any], said: str) -> None:
    assert refused(command, **given).startswith(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2)
)


@pytest.mark.slowest
@given(st.sampled_from(COMMANDS), st.data())
def test_any_json_gives_values_within_bounds_or_one_named_argument(spec: Any, data: st.DataObject) -> None:
    names = [argument.name for argument in spec.arguments] or ["x"]
    arguments = data.draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=4))
    named = ""
    try:
        values = check(spec, arguments)
    except BadArgument as bad:
        named = bad.field
    if named or "" in arguments:
        assert named in [*arguments, *names]
        return
    for argument in spec.arguments:
        if argument.type == "number":
            assert argument.low <= float(values[argument.name]) <= argument.high
        if argument.type == "choice":
            assert values[argument.name] in argument.choices


def test_every_fault_has_an_end_and_says_that_it_needs_to_be_enabled() -> None:
    for spec in COMMANDS:
        injects = spec.fault is not None
        assert injects == ("seconds" in [argument.name for argument in spec.arguments])
        assert spec.needs_faults == (injects or spec.name in ("recover", "heal_link"))
