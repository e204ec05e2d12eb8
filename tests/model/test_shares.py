"""Work that processes share: the same samples, features and measures as of one process, and nothing done twice."""

import contextlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from fromnoise.common.errors import BusyError, DataError, OtherProcessError, UsageError
from fromnoise.data import DataOptions, load
from fromnoise.evaluation.reference import embed
from fromnoise.metrics.classifier import Classifier
from fromnoise.metrics.classifier_training import new_classifier
from fromnoise.metrics.features import pixels
from fromnoise.model.shares import by_turns, in_first, in_shares, parts_of, shared, sharing
from fromnoise.run import Run
from fromnoise.run.evaluations import evaluate_files
from fromnoise.train.distributed import ALONE, Group


@pytest.fixture
def copied(tiny_run, tmp_path):
    """The shared run, in a folder of this test's own."""
    return Run(shutil.copytree(tiny_run.path, tmp_path / "run"))


def test_alone_everything_is_one_share():
    assert shared() is ALONE and [p.stop for p in parts_of(10, 4)] == [4, 8, 10]
    assert list(in_shares(lambda part: part.start, parts_of(10, 4))) == [0, 4, 8]
    assert in_first(lambda: 1) == by_turns(lambda: 1) == 1


def test_parts_are_whole_batches_while_there_are_enough():
    class Four(Group):
        world = 4

    with sharing(Four()) as group:
        assert shared() is group
        for count, size, sizes in ((10, 2, [2] * 5), (9, 8, [3, 3, 3]), (4, 8, [1] * 4), (2, 8, [1, 1])):
            assert [part.stop - part.start for part in parts_of(count, size)] == sizes
    assert shared() is ALONE


def test_each_process_makes_its_part_and_gets_all(tiny_run, run_processes, tmp_path):
    model = tiny_run.model()
    alone = [model.sample(num, batch_size=8, label=label) for num, label in ((43, None), (5, "3"))]

    def work(group):
        made = []
        keep = type(model).sample_labelled

        def noted(self, seeds, *rest):
            made.extend(seeds)
            return keep(self, seeds, *rest)

        type(model).sample_labelled = noted
        with sharing(group):
            whole, few = (model.sample(num, batch_size=8, label=label) for num, label in ((43, None), (5, "3")))
        assert np.array_equal(whole.images, alone[0].images) and whole.labels == alone[0].labels
        assert whole.seeds == list(range(43)) and whole.evaluations == alone[0].evaluations > 0
        # Fewer than a batch for each: the batches are smaller than in one process, and so may rounding be another.
        assert np.abs(few.images.astype(int) - alone[1].images).max() <= 1 and few.labels == alone[1].labels
        assert sorted(seed for one in group.gather(made) for seed in one) == sorted([*range(43), *range(5)])
        assert 0 < len(made) < 48

    for world in (2, 3):
        assert run_processes(work, world) == [0] * world


def test_features_are_the_same_bits(run_processes):
    data = load(DataOptions("digits"))
    images = data.images.repeat(2, 1, 1, 1)  # four blocks, the last one short
    features = replace(pixels(data), of=new_classifier(data, 0).features)  # a network's, which need not be trained
    alone = features.of(images)

    def work(group):
        with sharing(group):
            assert torch.equal(embed(features, images), alone)

    assert run_processes(work, 2) == [0, 0]


def test_an_evaluation_is_that_of_one_process(copied, run_processes):
    alone = copied.evaluate(300).to_json()
    copied.folder.evaluation.unlink()

    def work(group):
        with sharing(group):
            found = copied.evaluate(300)
        assert numbers(found.to_json()) == numbers(alone)
        with sharing(group):
            swept = copied.sweep({"steps": [1, 2]}, 40)
        group.same({"the distances": [point.frechet_distance for point in swept.points]})
        assert len(swept.points) == 2

    assert run_processes(work, 2) == [0, 0]
    assert numbers(json.loads(copied.folder.evaluation.read_text())) == numbers(alone)
    assert copied.folder.sweep.exists() and copied.folder.report.exists()


def numbers(found):
    """Every value by its place but for seconds and the checksum; to 1e-9, since sums differ from place to place."""
    flat, left = {}, [("", json.loads(json.dumps(found)))]
    while left:
        name, value = left.pop()
        if isinstance(value, dict | list):
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{name}/{part}", one) for part, one in parts]
        elif not name.endswith(("/seconds", "/sha256")):
            flat[name] = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
    return flat


def test_an_evaluation_of_files_is_that_of_one_process(run_processes, tmp_path):
    images = load(DataOptions("digits"), "test").images[torch.arange(1100) % 297]  # two blocks
    path, out = tmp_path / "made.npz", tmp_path / "out"
    np.savez(path, images=images.numpy())
    alone, _ = evaluate_files(str(path), "digits")
    seen, features = [], Classifier.features

    def work(group):
        Classifier.features = lambda net, images: seen.append(len(images)) or features(net, images)
        with sharing(group):
            found, page = evaluate_files(str(path), "digits", output_dir=out, statistics_to=out / "s.npz")
        assert numbers(found.to_json()) == numbers(alone.to_json()) and page == out / "report.html"
        assert group.rank == 0 or sum(seen) == 76 + 476, "the second block of the samples, and of 1,500 real images"

    assert run_processes(work, 2) == [0, 0]
    assert (
        numbers(json.loads((out / "evaluation.json").read_text())) == numbers(alone.to_json())
        and (out / "s.npz").exists()
    )


def test_other_files_in_one_process_are_refused(run_processes, tmp_path):
    def work(group):
        path = tmp_path / f"{group.rank}.npz"
        np.savez(path, images=np.full((20, 16, 16), group.rank, np.uint8))
        with sharing(group), pytest.raises(DataError, match="the images"):
            evaluate_files(str(path), "digits")

    assert run_processes(work, 2) == [0, 0]


def test_what_fails_in_one_process_ends_all(copied, run_processes):
    def work(group):
        with sharing(group):
            with copied.folder.locked("evaluate") if group.rank == 0 else contextlib.nullcontext():
                group.barrier()
                with pytest.raises((BusyError, OtherProcessError)) as raised:
                    copied.evaluate(60)
            assert raised.value.exit_code == 7 and raised.value.quiet == (group.rank > 0)
            with pytest.raises((UsageError, OtherProcessError)) as raised:
                list(in_shares(lambda part: broken(part, group), parts_of(6, 1)))
            assert raised.value.exit_code == 2
            assert in_first(lambda: group.rank) == (0 if group.rank == 0 else None)
            assert by_turns(lambda: group.rank) == group.rank

    def broken(part, group):
        if part.start == 1:
            raise UsageError(f"part 1 in process {group.rank}")
        return part.start

    assert run_processes(work, 2) == [0, 0]
