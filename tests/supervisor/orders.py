"""A supervisor that gives every order the same answer."""

from node.supervisor.control import Answer
from node.supervisor.layout import ClusterFile


class Orders:
    """See `node.supervisor.control.Orders`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.told: list[tuple[str, str]] = []

    def start_again(self, name: str) -> Answer:
        self.told.append(("start", name))
        return self.answer

    def add(self, name: str) -> Answer:
        self.told.append(("add", name))
        return self.answer

    async def retire(self, name: str) -> Answer:
        self.told.append(("retire", name))
        return self.answer

    def cluster_file(self) -> ClusterFile:
        raise AssertionError("the monitor does not ask for the file")
