"""Check a component: what every process, sampler, network, data set and objective has to keep.

    from fromnoise.testing import check_sampler

    check_sampler(MySampler())

Each check raises an AssertionError whose sentence states what was expected and what came out, and on what. The built-in
components go through the same checks, from the tables that the command line reads. `docs/adding-a-sampler.md` shows it
from the first line to the last.
"""

from fromnoise.testing.networks import check_dataset, check_network
from fromnoise.testing.objectives import check_objective
from fromnoise.testing.oracles import EndPoint, Gaussian, Mixture, Oracle, Point, TwoPoints
from fromnoise.testing.orders import attained_order, nominal_order
from fromnoise.testing.pairs import compatible_pairs, is_compatible
from fromnoise.testing.processes import check_process
from fromnoise.testing.samplers import check_sampler

__all__ = [
    "EndPoint",
    "Gaussian",
    "Mixture",
    "Oracle",
    "Point",
    "TwoPoints",
    "attained_order",
    "check_dataset",
    "check_network",
    "check_objective",
    "check_process",
    "check_sampler",
    "compatible_pairs",
    "is_compatible",
    "nominal_order",
]
