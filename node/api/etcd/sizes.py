"""How long a message is in etcd's own encoding: its limits are about that, and not about JSON.

Why it exists: only requests that are long as JSON are measured, in steps. It must not know the limits.
"""

from node.api.etcd.schema import MESSAGES, Message
from node.api.slices import Steps

WORK_PER_MESSAGE = 4


def measuring(message: Message, name: str) -> Steps[int]:
    """Bytes of `message`, which is of the kind `name` (see `schema`)."""
    size = 0
    waiting: list[tuple[Message, str]] = [(message, name)]
    # An inner message's length prefix depends on its size; nesting is rare, so 4 bytes are taken for each (and text).
    while waiting:
        values, kind = waiting.pop()
        yield WORK_PER_MESSAGE
        for field in MESSAGES[kind]:
            value = values.get(field.name)
            if value is None or (not value and not field.oneof):
                continue
            tag_bytes = 1 if field.number < 16 else 2
            if field.type == "string":
                for text in value:
                    yield WORK_PER_MESSAGE
                    size += tag_bytes + 4 + len(text.encode())
            elif isinstance(value, bytes):
                size += tag_bytes + _varint_bytes(len(value)) + len(value)
            elif isinstance(value, (bool, int)):
                size += tag_bytes + _varint_bytes(int(value) % 2**64)
            else:
                inner = value if isinstance(value, list) else [value]
                size += len(inner) * (tag_bytes + 3)
                waiting.extend((item, field.type) for item in inner)
    return size


def _varint_bytes(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)
