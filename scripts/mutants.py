"""Plants the classic mistakes one by one and sees whether the tests notice.

    python scripts/mutants.py             all of them; prints a table, and fails if one survives
    python scripts/mutants.py --write     also keeps the table in docs/mutants.md

Each mistake is one replacement in a copy of the source; the tests named beside it run against that copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "mutants.md"
CHECKS = "tests/diffusion/samplers/test_samplers.py"


@dataclass(frozen=True)
class Mutant:
    """A mistake: in `file`, `right` becomes `wrong`; `tests` are to notice."""

    mistake: str
    file: str
    right: str
    wrong: str
    tests: str


MUTANTS = (
    Mutant(
        "sign of eps in the 2x2 solve",
        "diffusion/prediction.py",
        "eps = broadcast_like(alpha / det, xt) * out - broadcast_like(p / det, xt) * xt",
        "eps = broadcast_like(p / det, xt) * xt - broadcast_like(alpha / det, xt) * out",
        "tests/diffusion/test_prediction.py",
    ),
    Mutant(
        "t off by one in DDPM's table",
        "diffusion/vp.py",
        "place = (t - 1).clamp(0, last)",
        "place = t.clamp(0, last)",
        "tests/diffusion/test_process.py",
    ),
    Mutant(
        "t off by one in the time code",
        "diffusion/vp.py",
        '"""k - 1, the timestep index of diffusers."""\n        return t - 1',
        '"""k - 1, the timestep index of diffusers."""\n        return t',
        "tests/diffusion/test_process.py",
    ),
    Mutant(
        "sigma_t for sigma_s in the exact move",
        "diffusion/process.py",
        "return broadcast_like(keep, xt) * xt + broadcast_like(alpha_s - alpha_t * keep, xt) * x0",
        "return broadcast_like(keep, xt) * xt + broadcast_like(alpha_s - alpha_t * sigma_t, xt) * x0",
        "tests/diffusion/test_process.py",
    ),
    Mutant(
        "sigma_t for sigma_s in the ancestral step",
        "diffusion/samplers/ddim.py",
        "kept = (sigma_s**2 - tau2)",
        "kept = (sigma_t**2 - tau2)",
        f"{CHECKS} -k promises and-ddpm",
    ),
    Mutant(
        "the weight of an x0 prediction at the wrong end of the step",
        "diffusion/samplers/multistep.py",
        "_WEIGHTS * np.exp(-h * (1 - u))",
        "_WEIGHTS * np.exp(-h * u)",
        f"{CHECKS} -k polynomials",
    ),
    Mutant(
        "the halved quadratic term of the published third order",
        "diffusion/samplers/multistep.py",
        "    return [float((w * values).sum()) for values in basis]",
        "    exact = [float((w * values).sum()) for values in basis]\n"
        "    if len(nodes) == 3 and max(nodes) == 0:\n"
        "        flat = [1 - 0.5 / nodes[1], 0.5 / nodes[1], 0.0]\n"
        "        return [(a + b) / 2 for a, b in zip(exact, flat, strict=True)]\n"
        "    return exact",
        f"{CHECKS} -k promises and-dpmpp_3m",
    ),
    Mutant(
        "clip before guidance",
        "model/build.py",
        "    estimator: Estimator = denoiser\n",
        "    estimator: Estimator = Clipping(denoiser) if options.clip else denoiser\n",
        "tests/model/test_build.py",
    ),
    Mutant(
        "guidance towards no class",
        "diffusion/guidance.py",
        "guided = extrapolate(base, conditional, self.scale)",
        "guided = extrapolate(conditional, base, self.scale)",
        "tests/diffusion/test_denoiser.py",
    ),
    Mutant(
        "labels shuffled against their images",
        "data/image_data.py",
        "labels = None if self.labels is None else self.labels[rows]",
        "labels = None if self.labels is None else self.labels[rows.flip(0)]",
        "tests/data/test_batches.py",
    ),
    Mutant(
        "labels dropped by the batch, not by the image",
        "diffusion/objective.py",
        "drop_label = torch.rand(shape[0], generator=g, device=g.device)",
        "drop_label = torch.rand(1, generator=g, device=g.device).expand(shape[0])",
        "tests/testing/test_checks.py -k objective",
    ),
    Mutant(
        "the average of the weights never updated",
        "train/trainer.py",
        "                self.averages.update(self.step)\n",
        "",
        "tests/train/test_trainer.py",
    ),
    Mutant(
        "input scale forgotten",
        "diffusion/denoiser.py",
        "scaled = broadcast_like(self.prediction.input_scale(self.process, t), xt) * xt",
        "scaled = xt",
        "tests/diffusion/test_denoiser.py",
    ),
    Mutant(
        "weighting not carried over to the network's output",
        "diffusion/weighting.py",
        "* (sigma / determinant(prediction, process, t)) ** 2",
        "* (sigma / determinant(prediction, process, t))",
        "tests/diffusion/test_prediction.py",
    ),
    Mutant(
        "adaLN-Zero initialised a second time",
        "nets/dit.py",
        "        nn.init.zeros_(self.condition.weight)\n        nn.init.zeros_(self.condition.bias)\n\n"
        "    def forward(self, h",
        "        nn.init.xavier_uniform_(self.condition.weight)\n\n    def forward(self, h",
        "tests/nets/test_nets.py -k adaln",
    ),
    Mutant(
        "every sample from the same noise",
        "diffusion/samplers/loop.py",
        'generator(0, "sample", s)',
        'generator(0, "sample", 0)',
        f"{CHECKS} -k seed_i_alone",
    ),
    Mutant(
        "sigma_data of the data ignored by EDM's prediction",
        "model/build.py",
        "(settings.objective.sigma_data or sigma_data)",
        "()",
        "tests/model/test_build.py",
    ),
    Mutant(
        "min-SNR turned round",
        "diffusion/weighting.py",
        "snr.clamp(max=self.gamma)",
        "snr.clamp(min=self.gamma)",
        "tests/diffusion/test_weighting.py",
    ),
    Mutant(
        "min-SNR with gamma 1",
        "diffusion/weighting.py",
        "gamma: float = 5.0",
        "gamma: float = 1.0",
        "tests/diffusion/test_weighting.py",
    ),
    Mutant(
        "truncated SNR as the smaller of SNR and 1",
        "diffusion/weighting.py",
        "snr.clamp(min=1)",
        "snr.clamp(max=1)",
        "tests/diffusion/test_weighting.py",
    ),
    Mutant(
        "guidance rescale at its full strength, whatever is set",
        "diffusion/guidance.py",
        "(1 + self.rescale * (share - 1))",
        "share",
        "tests/diffusion/test_denoiser.py",
    ),
    Mutant(
        "fresh noise equal to the noise of the start",
        "diffusion/samplers/loop.py",
        'generator(0, "fresh noise", i, s)',
        'generator(0, "sample", s)',
        "tests/diffusion/samplers/test_loop.py",
    ),
    Mutant(
        "EDM's S_noise left out",
        "diffusion/samplers/churn.py",
        "s_noise * alpha * math",
        "alpha * math",
        "tests/diffusion/samplers/test_stochastic.py",
    ),
    Mutant(
        "EDM's noise raised at every level",
        "diffusion/samplers/churn.py",
        "if churn == 0 or not within[0] <= level <= within[1]:",
        "if churn == 0:",
        "tests/diffusion/samplers/test_stochastic.py",
    ),
    Mutant(
        "inpainting with the same noise on what is known after each step",
        "diffusion/editing.py",
        'noise_for("noise of what is known")',
        'noise_for("noise of what is known", 0, 0)',
        "tests/diffusion/test_editing.py -k known",
    ),
    Mutant(
        "labels of samples not by the training set's frequencies",
        "model/labels.py",
        "torch.multinomial(share, 1,",
        "torch.multinomial(torch.ones_like(share), 1,",
        "tests/model/test_labels.py",
    ),
    Mutant(
        "labels and starting noise from one stream",
        "model/labels.py",
        'generator(0, "label", seed)',
        'generator(0, "sample", seed)',
        "tests/model/test_labels.py",
    ),
    Mutant(
        "gradient clipping left out",
        "train/update.py",
        "if self.max_grad_norm is not None:",
        "if False:",
        "tests/train/test_optimizer.py",
    ),
    Mutant(
        "Adam's second beta ignored",
        "train/optimizer.py",
        "betas = (0.9, options.adam_beta2)",
        "betas = (0.9, 0.999)",
        "tests/train/test_optimizer.py",
    ),
    Mutant(
        "weight decay ignored by AdamW",
        "train/optimizer.py",
        "            weight_decay=options.weight_decay,\n",
        "            weight_decay=0.0,\n",
        "tests/train/test_optimizer.py",
    ),
    Mutant(
        "linear decay that ends at half the rate",
        "train/lr_schedule.py",
        "fall = 1 - done if",
        "fall = 1 - done / 2 if",
        "tests/train/test_lr_schedule.py",
    ),
)


def plant(mutant: Mutant, folder: Path) -> None:
    """Copies source and tests into `folder` and makes the mistake there."""
    for name in ("src", "tests"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    path = folder / "src" / "fromnoise" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        sys.exit(f"'{mutant.mistake}' does not fit: {mutant.file} holds its line {text.count(mutant.right)} times.")
    path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")


def noticed(mutant: Mutant) -> str:
    """The name of the first test that fails on the mistake; empty if none does."""
    with tempfile.TemporaryDirectory() as folder:
        plant(mutant, Path(folder))
        tests, _, chosen = mutant.tests.partition(" -k ")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests]
        command += ["-m", "not slow and not alone"]
        command += ["-k", chosen.replace("and-", "and ")] if chosen else []
        surroundings = {**os.environ, "PYTHONPATH": str(Path(folder) / "src")}
        done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode == 1 and failed:
        return failed[0].split(" - ")[0].removeprefix("FAILED ").partition("[")[0]
    if done.returncode == 0:
        return ""
    sys.exit(f"'{mutant.mistake}': pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def table(rows: list[tuple[str, str, str]]) -> str:
    """Markdown."""
    lines = ["| planted mistake | in | caught by |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {mistake} | `{file}` | {test} |" for mistake, file, test in rows)])


def main() -> int:
    """0 when every mistake was noticed."""
    rows, lived = [], 0
    for mutant in MUTANTS:
        test = noticed(mutant)
        lived += not test
        rows.append((mutant.mistake, mutant.file, f"`{test}`" if test else "**nothing**"))
        print(f"{'caught' if test else 'LIVED '}  {mutant.mistake}: {test}", flush=True)
    print(f"\n{table(rows)}\n\n{len(rows) - lived} of {len(rows)} planted mistakes were caught.")
    if "--write" in sys.argv:
        head = "`python scripts/mutants.py --write` plants each mistake and names the first test that fails."
        PAGE.write_text(f"# Planted mistakes\n\n{head}\n\n{table(rows)}\n", encoding="utf-8")
    return int(lived > 0)


if __name__ == "__main__":
    sys.exit(main())
