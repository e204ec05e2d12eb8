"""The parts below: labels with numbers, networks that take them, the drop, ranks, and what config.json may hold."""

from __future__ import annotations

import pytest
import torch

from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.common.labels import classes_of, dropped, joined, numbers_of, unconditional
from fromnoise.metrics.rank_correlation import fit_numbers, rank_correlation
from fromnoise.model.labels import draw_numbers
from fromnoise.nets import NETWORKS, build_net
from fromnoise.run.record import check_rows, check_spec
from fromnoise.settings import NetOptions
from fromnoise.testing.networks import stirred

SLANT, WIDTH = Condition("slant", 0.1, 0.3, -1.0, 1.5), Condition("width", 40.0, 5.0, 20.0, 60.0)
NAN = float("nan")


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_every_network_takes_numbers(kind: str, classes: tuple[str, ...]) -> None:
    spec = ImageSpec(1, 8, 8, classes, conditions=(SLANT, WIDTH))
    net = stirred(build_net(NetOptions(kind=kind, width=8, channels=(32, 32)), spec).eval())  # type: ignore[arg-type]
    x, code = torch.randn(1, 1, 8, 8), torch.tensor([500.0])

    def out(*label: float) -> torch.Tensor:
        return net(x, code, torch.tensor([label]))

    nothing = out(float(spec.null_label), NAN, NAN)
    assert torch.equal(nothing, net(x, code)), "no label is a label that holds nothing"
    variants = [out(0, 0.1, 40), out(0, 0.5, 40), out(0, 0.1, 55), out(0, NAN, 40), out(0, 0.1, NAN), nothing]
    assert all(one.isfinite().all() for one in variants)
    assert all(not torch.equal(a, b) for i, a in enumerate(variants) for b in variants[:i])
    assert torch.equal(out(0, 0.1, 40), out(1, 0.1, 40)) != bool(classes)


def test_images_without_conditions_have_the_networks_of_before() -> None:
    spec = ImageSpec(1, 8, 8, ("a", "b"))
    assert "conditions" not in spec.to_json() and ImageSpec.from_json(spec.to_json()) == spec
    assert not any("numbers" in name for name in build_net(NetOptions(width=8), spec).state_dict())


def test_a_spec_with_conditions_is_stored_whole() -> None:
    spec = ImageSpec(1, 8, 8, (), conditions=(SLANT, WIDTH))
    content = spec.to_json()
    check_spec({**content, "classes": [], "conditions": list(content["conditions"])})
    assert ImageSpec.from_json(content) == spec
    for part, value in (("std", 0.0), ("mean", 9.0), ("name", 3), ("least", "x"), ("most", NAN)):
        with pytest.raises(ValueError, match=part if part != "most" else "most"):
            check_spec({**content, "classes": [], "conditions": [{**content["conditions"][0], part: value}]})


@pytest.mark.parametrize("row", ["0", "0 1 2", "2 1", "-1 1", "0 inf", "0 x", "0.5 1", ""])
def test_rows_that_cannot_be_labels_are_refused(row: str) -> None:
    check_rows(["0 1", "1 nan"], 1, 2)
    with pytest.raises(ValueError):
        check_rows([row], 1, 2)


def test_labels_are_joined_dropped_and_taken_apart() -> None:
    label = joined(torch.tensor([2, 0, 1]), torch.tensor([[0.5], [NAN], [1.5]]))
    assert label is not None and torch.equal(classes_of(label), torch.tensor([2, 0, 1]))
    kept = dropped(label, torch.tensor([True, False, True]), 3)
    assert classes_of(kept).tolist() == [3, 0, 3] and kept[:, 1].isnan().all()
    assert torch.equal(unconditional(label, 3)[:, 0], torch.full((3,), 3.0))
    assert numbers_of(torch.tensor([1, 2]), 2).isnan().all()


def test_numbers_are_drawn_from_images_of_the_class() -> None:
    rows = torch.tensor([[0, 1.0], [0, 2.0], [1, 10.0], [1, 20.0], [1, 30.0]])
    classes = torch.arange(600) % 2
    drawn = draw_numbers(range(600), classes, rows)[:, 0]
    assert set(drawn[classes == 0].tolist()) == {1.0, 2.0} and set(drawn[classes == 1].tolist()) == {10.0, 20.0, 30.0}
    assert draw_numbers([42], classes[42:43], rows)[0, 0] == drawn[42]


def test_rank_correlation_is_spearmans() -> None:
    one, other = torch.tensor([1.0, 2, 3, 4, 5, NAN]), torch.tensor([2.0, 1, 4, 3, 5, 9])
    assert rank_correlation(one, other) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert rank_correlation(one, one.exp()) == pytest.approx(1)
    assert rank_correlation(torch.tensor([1.0, 1, 2, 3]), torch.tensor([1.0, 2, 3, 4])) == pytest.approx(0.9486833)
    assert rank_correlation(torch.ones(4), torch.arange(4.0)) is None


def test_a_regression_finds_a_number_in_features_that_hold_it() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(800, 6, generator=random)
    numbers = features[:, 0] * 2 + features[:, 1] ** 2 + 0.1 * torch.randn(800, generator=random)
    holes = numbers.clone()
    holes[::7] = NAN
    measured = fit_numbers(features[:600], holes[:600])(features[600:])
    assert float((measured - numbers[600:]).std()) < 0.15
    noise = fit_numbers(features[:600], torch.randn(600, generator=random))
    noise = fit_numbers(features[:600], torch.randn(600, generator=random))
    unrelated = rank_correlation(noise(features[600:]), numbers[600:])
    assert unrelated is not None and abs(unrelated) < 0.35
