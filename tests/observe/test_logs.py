"""Every line is one JSON object that says node, term and role."""

import io
import logging
import threading
from collections.abc import Iterator

import msgspec
import pytest

from node.observe.logs import configure_logging, log_the_unforeseen, transition_logger
from node.observe.trace import Trace


@pytest.fixture
def root_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_node_term_and_role_as_they_are_then(root_restored: None) -> None:
    stream = io.StringIO()
    now = [(1, "follower")]
    configure_logging("n1", lambda: now[0], stream=stream)
    log = logging.getLogger("node.test")
    log.info("one\ntwo %s", 3)
    now[0] = (2, "leader")
    log.warning("again", extra={"fields": {"peer": "n2", "term": 99}})
    log.debug("not shown")
    first, second = lines(stream)
    assert (first["message"], first["node"], first["term"], first["role"]) == ("one\ntwo 3", "n1", 1, "follower")
    assert (second["level"], second["term"], second["role"], second["peer"]) == ("WARNING", 2, "leader", "n2")
    assert isinstance(first["time_us"], int)


def test_an_exception_stays_on_the_line_and_odd_fields_do_not_lose_it(root_restored: None) -> None:
    stream = io.StringIO()
    configure_logging("n1", lambda: (1, "follower"), stream=stream)
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger().exception("it broke", extra={"fields": {"odd": object(), "text": "\ud800"}})
    (line,) = lines(stream)
    assert "it broke" in str(line["message"])
    assert "ValueError: bad" in str(line["exception"])


def test_transitions_become_lines(root_restored: None) -> None:
    stream = io.StringIO()
    configure_logging("n1", lambda: (4, "leader"), stream=stream)
    trace = Trace("n1", "b", lambda: 0, listener=transition_logger(logging.getLogger("node.raft")))
    trace.transition("won", 4, "leader", {"votes": 3})
    (line,) = lines(stream)
    assert (line["message"], line["kind"], line["detail"]) == ("won votes=3", "won", {"votes": 3})


def test_people_get_short_lines(root_restored: None) -> None:
    stream = io.StringIO()
    configure_logging("n1", lambda: (4, "leader"), stream=stream, human=True)
    logging.getLogger().info("hello")
    assert stream.getvalue().endswith(" n1 leader/4 INFO hello\n")


def test_what_python_would_print_by_itself_becomes_lines(
    root_restored: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hook in ("threading.excepthook", "sys.unraisablehook"):  # to be put back
        monkeypatch.setattr(hook, lambda _: None)
    stream = io.StringIO()
    configure_logging("n1", lambda: (1, "follower"), stream=stream)
    log_the_unforeseen(logging.getLogger("node"))
    try:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

        class Bad:
            def __del__(self) -> None:
                raise ValueError("in clearing up")

        Bad()
    finally:
        logging.captureWarnings(False)
    told = lines(stream)
    assert [str(line["exception"]).splitlines()[-1].partition(":")[0] for line in told] == [
        "ZeroDivisionError",
        "ValueError",
    ]
    assert capsys.readouterr().err == ""


def test_what_strangers_say_is_one_line_for_people_and_tells_their_terminal_nothing(root_restored: None) -> None:
    stream = io.StringIO()
    handler = configure_logging("n1", lambda: (1, "follower"), stream=stream, human=True)
    strange = "bob\n12:00:00.000 n1 leader/9 INFO audit who=root\x1b[2J\u202e\x9b"
    logging.getLogger("node.test").warning("audit who=%s", strange)
    trace = Trace("n1", "boot", lambda: 0, listener=transition_logger(logging.getLogger("node.test")))
    trace.transition("audit", 1, "follower", {"who": strange, "what": "a", "outcome": "200"})
    try:
        raise ValueError("a traceback has lines of its own")
    except ValueError:
        logging.getLogger("node.test").exception("failed")
    handler.flush()
    first, second, third, *rest = stream.getvalue().splitlines()
    assert first.endswith(r"WARNING audit who=bob\n12:00:00.000 n1 leader/9 INFO audit who=root\x1b[2J\u202e\x9b")
    assert r"who=bob\n12" in second
    assert third.endswith("ERROR failed")
    assert rest[0] == "Traceback (most recent call last):"
    assert stream.getvalue().replace("\n", "").isprintable()
