"""Both kinds of places, under one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeping.gateway import BUCKET, gateway, program


@pytest.fixture(scope="session", autouse=True)
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path] | None]:
    """What a client's environment is, and the folder that is the bucket; None: there is no such server. For all tests,
    for one that a single test starts would be left behind by it."""
    if program() is None:
        yield None
        return
    folder = tmp_path_factory.mktemp("s3") / "root"
    with gateway(folder) as environment:
        yield environment, folder / BUCKET


@pytest.fixture
def bucket(
    s3_server: tuple[dict[str, str], Path] | None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[str, Path]:
    """The URL of a part of the bucket that is this test's own, and the folder that it is."""
    if s3_server is None:
        pytest.skip("no versitygw, a server that speaks S3: `make s3` builds it where Go is")
    environment, folder = s3_server
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    own = f"t{abs(hash(request.node.nodeid)):x}"
    return f"s3://{BUCKET}/{own}/", folder / own


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A place as commands name it, and the folder in which its files are seen."""
    if request.param == "s3":
        found: tuple[str, Path] = request.getfixturevalue("bucket")
        return found
    folder = tmp_path / "kept"
    folder.mkdir()
    return f"{folder}/", folder
