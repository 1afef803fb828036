"""What reads the judges' verdicts is judged first: each kind of finding is found, and nothing else is."""

import pytest

from tests.judges.applying import Applies, Told
from tests.judges.verdicts import Listed, Span, Stored, Window, lines, storage_errors, unlike

REFUSED = 'W1129 10:00:05.000000   77 logging.go:55] [core] addrConn.createTransport failed: "connection refused"'
ROUTINE = "W1129 10:00:00.000000   77 registry.go:12] an alpha version is served"
HELD = (
    Stored("/registry/configmaps/a/one", 5, b""),
    Stored("/registry/minions/n", 6, b""),
    Stored("/registry/ranges/serviceips", 7, b""),
)
OBJECTS = (Listed("configmaps", "a", "one", 5), Listed("nodes", "", "n", 6))
AT_FIVE_SECONDS = 1795946405.0


def span(*after: Stored) -> Span:
    """From HELD to those."""
    return Span({one.key: one for one in HELD}, {one.key: one for one in after or HELD}, 9)


def test_equal_lists_are_alike_whatever_the_paths_are_called_and_however_many_versions_show_an_object() -> None:
    assert unlike(span(), (*OBJECTS, OBJECTS[0])) == []


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (OBJECTS[:1], "/registry/minions/n of revision 6 was not listed"),
        ((*OBJECTS, Listed("configmaps", "a", "two", 9)), "no key has that revision"),
        ((Listed("configmaps", "a", "one", 4), OBJECTS[1]), "no key has that revision"),
        ((Listed("configmaps", "b", "one", 5), OBJECTS[1]), "that revision is of /registry/configmaps/a/one"),
    ],
    ids=["left out", "too many", "an older state", "another's revision"],
)
def test_a_list_that_differs_is_told(shown: tuple[Listed, ...], said: str) -> None:
    assert said in "\n".join(unlike(span(), shown))


def test_what_was_written_meanwhile_may_be_shown_as_before_or_after_and_not_as_earlier() -> None:
    meanwhile = span(
        Stored("/registry/configmaps/a/one", 9, b""), HELD[1], Stored("/registry/configmaps/a/new", 8, b"")
    )
    for revision in (5, 9):
        assert unlike(meanwhile, (Listed("configmaps", "a", "one", revision), OBJECTS[1])) == []
    assert unlike(meanwhile, (*OBJECTS, Listed("configmaps", "a", "new", 8))) == []
    for revision in (4, 10):
        said = "\n".join(unlike(meanwhile, (Listed("configmaps", "a", "one", revision), OBJECTS[1])))
        assert "no key has that revision" in said
        assert "/registry/configmaps/a/one of revision 9 was not listed" in said


def test_a_node_that_is_away_excuses_what_is_said_of_it_meanwhile_and_at_no_other_time() -> None:
    found = lines(f"{ROUTINE}\n{REFUSED}\nI1129 10:00:06.000000   77 x.go:1] etcd is well\nno line of klog", 2026)
    assert [line.level for line in found] == ["W", "W"]
    assert found[1].at == AT_FIVE_SECONDS
    assert storage_errors(found, [Window(AT_FIVE_SECONDS - 1, AT_FIVE_SECONDS + 1)]) == []
    assert storage_errors(found, [Window(AT_FIVE_SECONDS + 1, AT_FIVE_SECONDS + 2)]) == [REFUSED]
    assert storage_errors(found, []) == [REFUSED]


def test_a_client_that_leaves_before_its_watch_has_begun_is_excused_and_a_watch_that_fails_then_is_not() -> None:
    left = "E1129 10:00:05.000000   77 watcher.go:369] failed to sync with latest state: context canceled"
    assert storage_errors(lines(left, 2026), []) == []
    failed = left.replace("context canceled", "rpc error: code = Canceled desc = context canceled")
    assert storage_errors(lines(failed, 2026), []) == [failed]


@pytest.mark.parametrize(
    "text",
    [
        'E1129 10:00:05.000000   77 watcher.go:1] "watch chan error" err="mvcc: required revision has been compacted"',
        'E1129 10:00:05.000000   77 store.go:1] "decode failed" err="EOF"',
        "F1129 10:00:05.000000   77 main.go:1] over",
        'E1129 10:00:05.000000   77 x.go:1] err="rpc error: code = Unknown desc = connection refused"',
    ],
)
def test_no_window_excuses_an_answer_that_was_wrong(text: str) -> None:
    assert storage_errors(lines(text, 2026), [Window(AT_FIVE_SECONDS - 1, AT_FIVE_SECONDS + 1)]) == [text]


def test_an_apply_is_lost_if_its_object_holds_neither_its_value_nor_one_tried_since() -> None:
    applies = Applies({"x": Told("ConfigMap", "1.1", ["1.2"])})
    assert applies.lost({"x": "1.1"}, "ConfigMap") == []
    assert applies.lost({"x": "1.2"}, "ConfigMap") == []
    assert applies.lost({}, "Verdict") == []
    assert "x holds 1.0" in applies.lost({"x": "1.0"}, "ConfigMap")[0]
    assert "x holds None" in applies.lost({}, "ConfigMap")[0]


def test_a_failed_apply_is_excused_only_if_it_was_under_way_while_a_node_was_away() -> None:
    applies = Applies(failures=[(1.0, 2.0, "before"), (3.0, 5.0, "meanwhile"), (7.0, 8.0, "after")])
    assert applies.failed_outside([Window(4.0, 6.0)]) == ["before", "after"]
