"""Two packages of one commit are the same bytes, whenever and wherever they are made, and a chart like the folder."""

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, helm, run, text
from tools.package_chart import Refused, moment, package

SECONDS = 1_700_000_000


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_files_of_other_times_and_rights_make_the_same_bytes(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(CHART, clone)
    for number, file in enumerate(sorted(clone.rglob("*"))):
        os.utime(file, (SECONDS + number, SECONDS + number))
        file.chmod(file.stat().st_mode | stat.S_IWGRP)
    one = package(helm(), tmp_path / "one", SECONDS)
    other = package(helm(), tmp_path / "other", SECONDS, clone)
    assert digest(one) == digest(other)
    assert digest(one) != digest(package(helm(), tmp_path / "later", SECONDS + 1))


def test_what_is_packed_renders_as_the_folder_does(tmp_path: Path) -> None:
    archive = package(helm(), tmp_path, SECONDS)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert archive.name == f"raft-{chart['version']}.tgz"
    assert run("template", "raft", str(archive), "--namespace", "ns", values={}).stdout == text()


def test_the_time_is_the_environments_or_the_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "17")
    assert moment() == 17
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(Refused, match="'yesterday' is no time: write whole seconds since 1970"):
        moment()


def test_a_helm_that_writes_times_of_its_own_is_refused(tmp_path: Path) -> None:
    lying = tmp_path / "helm"
    lying.write_text(f'#!/bin/sh\nfind "$2" -exec touch -d @1 {{}} +\nSOURCE_DATE_EPOCH=1 exec {helm()} "$@"\n')
    lying.chmod(0o755)
    with pytest.raises(Refused, match="writes the time of day"):
        package(str(lying), tmp_path / "out", SECONDS)
    assert not (tmp_path / "out").exists()


def test_what_artifact_hub_shows_is_what_the_chart_has() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    said = chart["annotations"]
    assert said["artifacthub.io/license"] == "MIT"
    assert said["artifacthub.io/category"] == "database"
    assert yaml.safe_load(said["artifacthub.io/changes"])
    [image] = yaml.safe_load(said["artifacthub.io/images"])
    assert image == {"name": "raft", "image": f"raft:{chart['appVersion']}"}
    assert all(isinstance(value, str) for value in said.values())
