"""What a cluster can do now, in one sentence: the table that the page is held to as well."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.observe.headline import Facts, Seen, Words, facts_of, headline

CASES = json.loads((Path(__file__).parent.parent / "headline_cases.json").read_text())


def seen(node: dict[str, Any]) -> Seen:
    """A row of `/cluster`."""
    ended = node.get("process", {}).get("state") == "ended"
    words = node["status"] and msgspec.convert(node["status"], Words)
    return Seen(node["name"], "down" if ended else "heard" if node["state"] == "reachable" else "silent", words)


@pytest.mark.parametrize("case", CASES["sentences"], ids=lambda case: case["case"])
def test_the_sentence_says_what_the_cluster_can_do(case: dict[str, Any]) -> None:
    assert headline(msgspec.convert(case["facts"], Facts)) == case["sentence"]


@pytest.mark.parametrize("case", CASES["facts"], ids=lambda case: case["case"])
def test_every_voter_is_counted_once(case: dict[str, Any]) -> None:
    facts = facts_of([seen(node) for node in case["nodes"]])
    assert facts == msgspec.convert(case["facts"], Facts)
    assert facts.voters == facts.following + facts.looking + facts.mute + facts.down + facts.silent
