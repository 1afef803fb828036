"""The image that is tested: the one that IMAGE names, else one built from this tree."""

import os
import shutil

import pytest

from node import __version__
from tests.image.docker import docker


@pytest.fixture(scope="session")
def image() -> str:
    """Its name. A machine with a Kubernetes and without Docker has no part in these tests; any other must have it."""
    there = shutil.which("docker") is not None
    if not there and os.environ.get("KUBECONFIG"):
        pytest.skip("no docker command; the cluster of KUBECONFIG is tested without it")
    assert there, "these tests need Docker: install it, start its engine"
    docker("info")
    named = os.environ.get("IMAGE", "")
    if named and docker("image", "ls", "--quiet", named):
        return named
    built = f"raft:{__version__}"
    docker("build", "--network", "host", "--build-arg", f"VERSION={__version__}", "--tag", built, ".")
    return built
