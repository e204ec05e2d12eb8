"""Reference rows: real images measured as samples are, kept in a cache that can be lost or damaged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fromnoise.common.stored_json import signed, verified
from fromnoise.data import ArrayData, DataOptions, load
from fromnoise.evaluation import reference_rows as rows_module
from fromnoise.evaluation.reference import Reference, build_reference
from fromnoise.evaluation.reference_rows import reference_rows
from fromnoise.evaluation.scores import quick_scores, score
from fromnoise.metrics.classifier import Classifier
from fromnoise.metrics.features import Features, pixels


def first_pixels(images):
    return images.float().flatten(1)[:, ::31] / 255


def scored(images, reference, rows):
    return score(images, None, reference.features.of(images), reference, rows.baseline)


@pytest.fixture(scope="module")
def train():
    return load(DataOptions("digits"))


@pytest.fixture(scope="module")
def test():
    return load(DataOptions("digits"), "test")


@pytest.fixture
def reference(train):
    space = Features("some pixels", "every 31st pixel", 9, "recipe", "weights", first_pixels)
    return Reference(train, space, pixels(train), None)


def test_each_row_measures_what_its_name_means(reference, test, tmp_path):
    found = reference_rows(reference, test, 200, tmp_path)
    rows = found.rows
    assert {name: row.count for name, row in rows.items()} == {"test": 200, "train_halves": 200, "noise": 200}
    assert rows["test"].frechet_distance < 0.1 * rows["noise"].frechet_distance
    assert rows["test"].class_accuracy is None and rows["test"].classes == ()
    assert rows["test"].copy_rate < 0.02 and rows["noise"].copy_rate == 0
    assert rows["noise"].mean[0] == pytest.approx(127.5, abs=1) and rows["noise"].duplicate_rate == 0


def test_the_same_scores_come_from_the_cache_and_a_damaged_file_is_written_again(
    reference, test, tmp_path, monkeypatch
):
    first = reference_rows(reference, test, 100, tmp_path)
    (path,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(rows_module, "_measured", lambda *_: pytest.fail("this was worked out before"))
        again = reference_rows(reference, test, 100, tmp_path)
    assert again.rows == first.rows and torch.equal(again.baseline.distances, first.baseline.distances)
    for content in (b"", b"PK\x03\x04", path.read_bytes()[:-200]):
        path.write_bytes(content)
        rewritten = reference_rows(reference, test, 100, tmp_path).rows
        assert rewritten.keys() == first.rows.keys()
        for name, scores in rewritten.items():  # worked out again on several threads, so the last bits may differ
            before = first.rows[name].to_json()
            assert before.keys() == scores.to_json().keys()
            for field, value in scores.to_json().items():
                old, new = (torch.tensor(v or 0.0, dtype=torch.float64) for v in (before[field], value))
                torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-6, msg=field)
        assert len(path.read_bytes()) > 1000


def changed_archives(path):
    """Whole archives that hold something else."""
    with np.load(path) as kept:
        about, distances = json.loads(str(kept["about"])), kept["distances"]
    yield about, distances * 2
    yield about, distances[:-1]
    yield {**about, "baseline": {**about["baseline"], "copy_below": 3.0}}, distances
    yield {**about, "name": "of-another-set"}, distances
    yield signed({**verified(about), "name": "of-another-set"}), distances
    yield {}, distances
    yield [], distances


def test_a_whole_file_with_other_content_is_written_again(reference, test, tmp_path, monkeypatch):
    first = reference_rows(reference, test, 100, tmp_path)
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr(rows_module, "_measured", lambda *_: first)
    for about, distances in list(changed_archives(path)):
        np.savez(path, distances=distances, about=np.array(json.dumps(about)))
        before = path.read_bytes()
        assert reference_rows(reference, test, 100, tmp_path) is first and path.read_bytes() != before
    reads = reference_rows(reference, test, 100, tmp_path)
    assert reads is not first and reads.rows == first.rows


def test_another_count_or_space_has_rows_of_its_own(reference, test, tmp_path):
    reference_rows(reference, test, 100, tmp_path)
    reference_rows(reference, test, 120, tmp_path)
    other = Reference(reference.data, reference.pixels, reference.pixels, None)
    reference_rows(other, test, 100, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_written_only_costs_time(reference, test, tmp_path):
    (tmp_path / "file").write_text("")
    assert reference_rows(reference, test, 50, tmp_path / "file").rows["test"].count == 50


def test_copies_are_searched_among_test_images_of_all_classes(reference, train, test, tmp_path, monkeypatch):
    """Files are often sorted by class: here those that are copies come first."""
    monkeypatch.setattr(rows_module, "SEARCHED", 100)
    copied = train.subset(torch.arange(100))
    images = torch.cat([copied.images, test.images[:100]])
    both = ArrayData("digits", "test", images, torch.cat([copied.labels, test.labels[:100]]), test.spec)
    found = reference_rows(reference, both, 1000, tmp_path).rows["test"]
    assert 0.3 < found.copy_rate < 0.7


def test_without_test_images_there_is_neither_test_row_nor_copy_rate(reference, tmp_path):
    found = reference_rows(reference, None, 100, tmp_path)
    assert found.rows["test"] is None and found.rows["train_halves"].copy_rate is None
    scores, _ = scored(reference.data.images[:100], reference, found)
    assert scores.copy_rate is None and scores.copy_z is None


def test_more_samples_than_images_are_measured_too(reference, test, tmp_path):
    found = reference_rows(reference, test, 4000, tmp_path)
    assert found.rows["test"].count == len(test) and found.rows["train_halves"].count == 750
    many = reference.data.images.repeat(3, 1, 1, 1)[:4000]
    assert scored(many, reference, found)[0].count == 4000


def test_quick_scores_are_those_of_the_whole_pass(reference, test, tmp_path):
    scores, _ = scored(test.images[:100], reference, reference_rows(reference, test, 100, tmp_path))
    few = quick_scores(test.images[:100], None, reference)
    assert (few.frechet_distance, few.kid, few.kid_stderr) == (scores.frechet_distance, scores.kid, scores.kid_stderr)


def test_a_part_of_the_reference_needs_no_new_features(reference, monkeypatch):
    whole = reference.embedded
    part = reference.subset(torch.arange(0, 1500, 3))
    monkeypatch.setattr(Features, "of", property(lambda self: pytest.fail("embedded again")), raising=False)
    assert torch.equal(part.embedded, whole[::3]) and len(part.data) == 500
    assert torch.equal(part.data.images, reference.data.subset(torch.arange(0, 1500, 3)).images)


def test_the_noise_takes_no_memory_before_it_is_measured(reference, test, tmp_path, monkeypatch):
    events, made, measured = [], rows_module._noise, rows_module.score
    monkeypatch.setattr(rows_module, "_noise", lambda *given: events.append("noise") or made(*given))
    monkeypatch.setattr(rows_module, "score", lambda *given: events.append("row") or measured(*given))
    reference_rows(reference, test, 50, tmp_path)
    assert events == ["row", "row", "noise", "row"]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_classifier_is_trained_only_where_it_is_used(train, labelled, monkeypatch):
    trained, space = [], Features("domain", "", 1, "", "", first_pixels, Classifier(1, 10) if labelled else None)
    monkeypatch.setattr("fromnoise.evaluation.reference.domain", lambda *given: trained.append(given) or space)
    data = train if labelled else replace(train, labels=None)
    assert build_reference(data, "pixels").classifier is space.classifier and len(trained) == labelled
    assert build_reference(data).classifier is space.classifier and len(trained) == labelled + 1
