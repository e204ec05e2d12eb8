"""Compares fromnoise's arithmetic with torch-fidelity's on the same features, and both ways to ask Inception.

    python scripts/check_torch_fidelity.py [--weights FILE]

Runs where both are installed: pip install -e ".[fid]". No network and no real weights are needed: without --weights,
Inception's are random and written in the format of torch-fidelity's file. Prints a table in Markdown; the exit
status is 1 where something differs by more than rounding explains.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from fromnoise.common.seeds import generator
from fromnoise.metrics.frechet import frechet_distance, statistics
from fromnoise.metrics.inception import URL, inception
from fromnoise.metrics.kid import kernel_distance
from fromnoise.metrics.precision_recall import precision_recall

COUNT, DIM = 2000, 64

Row = tuple[str, float, float, float]  # what, ours, theirs, the difference that is allowed


def features() -> tuple[Tensor, Tensor]:
    """Two shifted Gaussians, float64 (2000, 64); the second also has another spread."""
    first, second = (torch.randn(COUNT, DIM, generator=generator(0, "check", i), dtype=torch.float64) for i in (0, 1))
    return first * 0.9 + 0.1, second


def frechet_rows() -> list[Row]:
    """The Fréchet distance of features with full rank, and of fewer pictures than dimensions."""
    rows = []
    for name, count in (("Fréchet distance", COUNT), ("Fréchet distance, 40 pictures of 64 features", 40)):
        ours, theirs = (part[:count] for part in features())
        found = frechet_distance(statistics(ours), statistics(theirs))
        pair = [fid_features_to_statistics(part) for part in (ours, theirs)]
        expected = fid_statistics_to_metric(*pair, verbose=False)["frechet_inception_distance"]
        # Without full rank, theirs takes roots of eigenvalues that are rounding: 24 of about 1e-16.
        rows.append((name, found, expected, 1e-9 if count == COUNT else 1e-5))
    return rows


def kernel_rows() -> list[Row]:
    """The kernel's estimate over all pairs, and the mean over random subsets within three standard errors."""
    ours, theirs = features()
    found = kernel_distance(ours, theirs)
    everything = float(kernel_mmd(ours.numpy(), theirs.numpy()))
    drawn = kid_features_to_metric(ours, theirs, kid_subsets=200, kid_subset_size=200, verbose=False)
    return [
        ("KID, all pairs of 2,000", found.value, everything, 1e-12),
        ("KID, its 200 random subsets of 200", found.value, drawn["kernel_inception_distance_mean"], 3 * found.stderr),
    ]


def manifold_rows() -> list[Row]:
    """Precision and recall; a picture on the rim counts as outside here and as inside there."""
    rows = []
    for k in (3, 5):
        samples, reference = features()
        found = precision_recall(reference, samples, k)
        expected = prc_features_to_metric(samples, reference, prc_neighborhood=k, verbose=False)
        rows.append((f"precision, k = {k}", found.precision, expected["precision"], 1e-6))
        rows.append((f"recall, k = {k}", found.recall, expected["recall"], 1e-6))
    return rows


def random_weights(path: Path) -> None:
    """Random weights in torch-fidelity's format, as large as lets signals through."""
    download = "torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url"
    with mock.patch(download, return_value={}), mock.patch.object(torch.nn.Module, "load_state_dict"):
        net = torch_fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    random = generator(0, "weights")
    for weight in net.parameters():
        if weight.ndim == 4:
            torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
    torch.save(net.state_dict(), path)


def inception_rows(weights: Path) -> list[Row]:
    """Mean feature and largest difference, ours against torch-fidelity's extractor, RGB and grey."""
    net = torch_fidelity.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )
    space, rows = inception(weights), []
    for name, channels in (("RGB", 3), ("grey", 1)):
        random = generator(0, "pictures", channels)
        images = torch.randint(0, 256, (20, channels, 32, 32), generator=random, dtype=torch.uint8)
        with torch.no_grad():
            theirs = net(images.expand(-1, 3, -1, -1))[0]
        ours = space.of(images)
        # Batches of 16 here and 20 there: convolutions may round differently.
        allowed = 1e-5 * float(theirs.abs().mean())
        rows.append((f"Inception, {name}: mean feature", float(ours.mean()), float(theirs.mean()), allowed))
        rows.append((f"Inception, {name}: largest difference", float((ours - theirs).abs().max()), 0.0, allowed))
    return rows


def main() -> int:
    """0 where all agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="torch-fidelity's Inception file; without it, random weights")
    weights = parser.parse_args().weights
    with tempfile.TemporaryDirectory() as folder:
        if weights is None:
            weights = Path(folder) / "random.pth"
            random_weights(weights)
        rows = [*frechet_rows(), *kernel_rows(), *manifold_rows(), *inception_rows(weights)]
    print(f"torch-fidelity {torch_fidelity.__version__}, torch {torch.__version__}\n")
    print("| | fromnoise | torch-fidelity | difference | allowed |\n|---|---|---|---|---|")
    for what, ours, theirs, allowed in rows:
        print(f"| {what} | {ours:.9g} | {theirs:.9g} | {abs(ours - theirs):.1e} | {allowed:.0e} |")
    wrong = [what for what, ours, theirs, allowed in rows if not abs(ours - theirs) <= allowed]
    wrong += ["the address of the weights"] if URL != URL_INCEPTION_V3 else []
    print(f"\n{'; '.join(wrong)} differ(s)" if wrong else "\nAll agree.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
