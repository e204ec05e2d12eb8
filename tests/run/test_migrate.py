"""Run folders of earlier formats open, sample and go on as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fromnoise.run import Run
from fromnoise.run.migrate import migrated

RENAMED = {
    "net": {"time_conditioning": "told_time", "class_conditioning": "told_class"},
    "objective": {"time_sampling": "times"},
    "train": {"validations": "heldout"},
    "sample": {"autoguidance_scale": "autoguidance", "guide_checkpoint": "weaker"},
}


def as_format_1(path: Path) -> None:
    """Rewrite config.json and config.toml in the names of format 1."""
    record = json.loads((path / "config.json").read_text())
    for section, names in RENAMED.items():
        for new, old in names.items():
            record["settings"][section][old] = record["settings"][section].pop(new)
    assert record["settings"]["sample"]["grid"] == "few_steps"
    record["settings"]["sample"]["grid"] = "spread"
    record["config"], record["situation"] = record.pop("settings"), record.pop("context")
    del record["parameters"]
    (path / "config.json").write_text(json.dumps({**record, "format": 1}))
    tables = (path / "config.toml").read_text()
    assert "validations = 2" in tables
    (path / "config.toml").write_text(tables.replace("validations = 2", "heldout = 2"))


def test_a_run_of_format_1_opens_samples_and_continues(tiny_run, tiny_settings, tmp_path):
    path = tmp_path / "old"
    shutil.copytree(tiny_run.path, path)
    as_format_1(path)
    before = (path / "config.json").read_bytes()
    run = Run(path)
    assert run.settings == tiny_run.settings and run.metadata["context"] == tiny_run.metadata["context"]
    assert np.array_equal(run.sample(2).images, tiny_run.sample(2).images)
    again = Run.create("digits", output_dir=path, settings=tiny_settings)
    assert list(again.steps()) == []
    assert (path / "config.json").read_bytes() == before, "what an earlier version wrote is left as it is"


@pytest.mark.parametrize(("kind", "grid", "now"), [("ve", "uniform", "auto"), ("ve", "karras", "karras"),
                                                   ("linear", "uniform", "uniform")])  # fmt: skip
def test_a_grid_that_ve_refuses_by_now_does_not_close_a_run(kind, grid, now):
    record = {"format": 3, "settings": {"process": {"kind": kind}, "sample": {"grid": grid, "steps": 10}}}
    assert migrated(record)["settings"]["sample"] == {"grid": now, "steps": 10}
    assert record["settings"]["sample"]["grid"] == grid
