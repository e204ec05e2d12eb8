"""One registry a component: settings, help texts and documents name what the registries hold, and nothing else."""

import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from fromnoise import settings
from fromnoise.diffusion.prediction import PREDICTIONS
from fromnoise.diffusion.process import PRIORS
from fromnoise.diffusion.process_registry import PROCESSES, build_process
from fromnoise.diffusion.samplers.registry import ORDERS, SAMPLERS
from fromnoise.diffusion.time_grids import GRIDS
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.diffusion.weighting import WEIGHTINGS
from fromnoise.nets import NETWORKS

ROOT = Path(__file__).resolve().parent.parent
CHOICES = {
    (settings.ProcessOptions, "kind"): PROCESSES,
    (settings.ProcessOptions, "prior"): PRIORS,
    (settings.ObjectiveOptions, "prediction"): PREDICTIONS,
    (settings.ObjectiveOptions, "weighting"): WEIGHTINGS,
    (settings.ObjectiveOptions, "time_sampling"): TIME_DISTRIBUTIONS,
    (settings.SampleOptions, "sampler"): SAMPLERS,
    (settings.NetOptions, "kind"): NETWORKS,
}


@pytest.mark.parametrize("options, name", CHOICES, ids=lambda value: getattr(value, "__name__", value))
def test_a_settings_choices_are_its_registrys_names(options, name):
    assert get_args(get_type_hints(options)[name]) == tuple(CHOICES[options, name])


def test_the_help_of_the_grid_names_every_grid():
    help_text = settings.SampleOptions.__dataclass_fields__["grid"].metadata["help"]
    assert set(re.findall(r"[a-z_]+", help_text.partition(":")[2])) - {"or"} == {*GRIDS, "auto"}


def test_every_deterministic_sampler_has_measured_orders():
    assert set(ORDERS) == {name for name, sampler in SAMPLERS.items() if not sampler.stochastic}


def components():
    """(registry's name of it, its class) of everything that a run can be composed of."""
    processes = [build_process(settings.ProcessOptions(kind=kind)) for kind in PROCESSES]
    registries = (PREDICTIONS, WEIGHTINGS, TIME_DISTRIBUTIONS, GRIDS, SAMPLERS, NETWORKS)
    yield from zip(PROCESSES, map(type, processes), strict=True)
    for registry in registries:
        yield from ((name, value if isinstance(value, type) else type(value)) for name, value in registry.items())


@pytest.mark.parametrize("name, kind", list(components()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_component_cites_its_paper_with_year_and_link(name, kind):
    _, _, cited = inspect.getdoc(kind).partition("References:")
    links = re.findall(r"https://\S+", cited)
    assert re.search(r"\b(19|20)\d\d\b", cited) and links
    listed = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    assert not [link for link in links if link not in listed]


def test_every_paper_that_the_source_links_to_is_listed():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "fromnoise").rglob("*.py"))
    links = set(re.findall(r"https://(?:arxiv\.org/abs|doi\.org|openreview\.net)/[\w./?=()-]*\w", text))
    listed = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    assert len(links) > 40 and not [link for link in links if link not in listed]
