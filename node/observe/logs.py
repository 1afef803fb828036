"""Logs of a node: one JSON object a line on standard error, or a short line where a person looks.

Why it exists: lines of five nodes are read together, so each one says which node, term and role it comes from. A node
sends them by `node.observe.lines`, so that nobody who does not read can stop it. It must not hold what it logs, and a
field that cannot be encoded must not lose the line.
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import msgspec

from node.observe.events import TraceEvent
from node.observe.lines import Lines, lost_words
from node.observe.turns import stall_words

LINE_FIELD_CHARACTERS_MAX = 16_384
"""Messages and tracebacks are cut here."""

_WARNINGS = ("stalled", "tls-refused", "tls-not-renewed", "access-refused", "tokens-not-renewed")
_LEVELS = dict.fromkeys(_WARNINGS, logging.WARNING)
"""Of transitions that are more than INFO."""

_ENCODER = msgspec.json.Encoder()


def configure_logging(
    node: str,
    term_and_role: Callable[[], tuple[int, str]],
    level: str = "INFO",
    stream: TextIO | None = None,
    human: bool | None = None,
    lines: Lines | None = None,
) -> logging.Handler:
    """Send everything of `level` and above to `stream` (None: standard error), replacing what was set up before.

    `term_and_role` is asked at each line. `human` None: JSON unless the stream is a terminal. `lines`: the way that
    lines take there, for a process that must not wait for its readers. The handler is returned so that a caller can
    take it away again.
    """
    stream = stream or sys.stderr
    human = stream.isatty() if human is None else human
    formatter = HumanFormatter(node, term_and_role) if human else JsonFormatter(node, term_and_role)
    handler = logging.StreamHandler(stream) if lines is None else LineHandler(lines)
    handler.setFormatter(formatter)
    if lines is not None:
        lines.told = lambda count: formatter.format(_record(lost_words(count)))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def log_the_unforeseen(logger: logging.Logger) -> None:
    """What Python prints by itself, in the middle of other lines, becomes lines of the log: errors of threads, errors
    that nobody can catch, and warnings."""

    def of_thread(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value or args.exc_type()
        logger.error("a thread ended with an error", exc_info=(type(error), error, error.__traceback__))

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        error = args.exc_value or args.exc_type()
        logger.error(args.err_msg or "an error in clearing up", exc_info=(type(error), error, error.__traceback__))

    threading.excepthook = of_thread
    sys.unraisablehook = unraisable
    logging.captureWarnings(True)


class LineHandler(logging.Handler):
    """Queues each line, and never waits for a reader."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever is wrong with a record must not be told by the very way that it was to take."""
        try:
            line = self.format(record)
        except Exception:  # such as arguments that do not fit the message
            line = self.format(_record(f"a line of {record.name} could not be made: {record.msg!r}"[:200]))
        self._lines.put(line)


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord("node.log", logging.WARNING, "", 0, message, (), None)


def transition_logger(logger: logging.Logger) -> Callable[[TraceEvent], None]:
    """A listener for `Trace`: every transition as a line, its details as fields."""

    def log(event: TraceEvent) -> None:
        level = _LEVELS.get(event.kind, logging.INFO)
        if logger.isEnabledFor(level):
            words = _words(event)
            fields = {"kind": event.kind, "seq": event.seq, "detail": event.detail}
            logger.log(level, "%s %s", event.kind, words, extra={"fields": fields})

    return log


def _words(event: TraceEvent) -> str:
    if event.kind == "stalled":
        return stall_words(event.detail)
    return " ".join(f"{name}={value}" for name, value in event.detail.items())


class JsonFormatter(logging.Formatter):
    """`time_us`, `level`, `logger`, `node`, `term`, `role`, `message`; then what `extra={"fields": {...}}` adds."""

    def __init__(self, node: str, term_and_role: Callable[[], tuple[int, str]]) -> None:
        super().__init__()
        self._node = node
        self._term_and_role = term_and_role

    def format(self, record: logging.LogRecord) -> str:
        term, role = self._term_and_role()
        line: dict[str, object] = {
            "time_us": int(record.created * 1_000_000),
            "level": record.levelname,
            "logger": record.name,
            "node": self._node,
            "term": term,
            "role": role,
            "message": record.getMessage()[:LINE_FIELD_CHARACTERS_MAX],
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            for name, value in fields.items():
                line.setdefault(str(name), value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-LINE_FIELD_CHARACTERS_MAX:]
        try:
            return _ENCODER.encode(line).decode()
        except (TypeError, ValueError):
            return _ENCODER.encode({name: ascii(value) for name, value in line.items()}).decode()


class HumanFormatter(logging.Formatter):
    """`12:00:00.123 n1 leader/7 INFO message`."""

    def __init__(self, node: str, term_and_role: Callable[[], tuple[int, str]]) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(node)s %(role)s/%(term)s %(levelname)s %(message)s", "%H:%M:%S")
        self._node = node
        self._term_and_role = term_and_role

    def format(self, record: logging.LogRecord) -> str:
        record.node = self._node
        record.term, record.role = self._term_and_role()
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """What clients, peers and files say stands in messages: none of it may look like a line of its own, nor tell a
        terminal what to do."""
        record.message = in_one_line(record.message)
        return super().formatMessage(record)


def in_one_line(text: str) -> str:
    """With what cannot be printed written out."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
