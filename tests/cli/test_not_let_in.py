"""Who is not let in is told so at once, in the node's own words, by every command that asks one: exit code 1."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.access.entrance import Access, Refusal
from node.access.principals import Need, Role, with_roles
from node.cli.failure import FAILED
from tests.cli.conftest import Answer, FakeNode, raft_node

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("get", "a", "--url", "URL"),
    ("put", "a", "1", "--url", "URL"),
    ("delete", "a", "--url", "URL"),
    ("watch", "a", "--url", "URL"),
    ("lock", "l", "--url", "URL", "--", "true"),
    ("elect", "e", "me", "--url", "URL"),
    ("members", "list", "URL"),
    ("members", "remove", "n1", "URL"),
    ("backup", "URL", "file"),
    ("command", "URL", "recover"),
    ("status", "URL"),
)


def refusal(known: bool) -> str:
    """As a node says it."""

    class Known:
        demands, version = True, 0

        def find(self, _credential: str) -> object:
            return with_roles("ann", Role.READ) if known else None

    need: Need = Role.OPERATE
    with pytest.raises(Refusal) as raised:
        Access([Known()]).enter("x" if known else None, need, "a test")  # type: ignore[list-item]
    return raised.value.message


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_says_what_the_node_said_and_asks_no_more(
    command: tuple[str, ...],
    status: int,
    fake_node: Callable[[], FakeNode],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(known=status == 403)
    body = f'{{"error":"unauthenticated","message":"{said}","code":16}}'.encode()
    node = fake_node()
    node.answer = node.session = node.told = Answer(status, body)
    ran = raft_node(*(word.replace("URL", node.url) for word in command))
    assert ran.code == FAILED, ran
    assert said in " ".join((ran.err + ran.out.decode()).split())
    assert len(node.asked) + len(node.registered) <= 3
    assert list(tmp_path.iterdir()) == []


def test_the_sentence_says_what_programs_send_and_what_a_command_takes() -> None:
    assert refusal(known=False).endswith("send it as Authorization: Bearer TOKEN, or give raft-node --token-file FILE")
