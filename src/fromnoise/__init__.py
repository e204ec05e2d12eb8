"""fromnoise: train a diffusion or flow model from scratch, on the machine you have, and see every step.

    import fromnoise as fn

Everything that a training script needs is here, flat; `examples/minimal.py` is one. Names load when they are first
used, so that `import fromnoise` takes no time and no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.lazy import lazy
from fromnoise.common.version import __version__

if TYPE_CHECKING:
    from fromnoise.chapter.functions import corrupt, sample_with_step
    from fromnoise.common.errors import FromNoiseError
    from fromnoise.common.image_spec import ImageSpec
    from fromnoise.data.batches import Batches
    from fromnoise.data.loading import load
    from fromnoise.diffusion.denoiser import Denoiser
    from fromnoise.diffusion.guidance import Autoguidance, ClassifierFreeGuidance, Clipping
    from fromnoise.diffusion.objective import Objective, training_loss
    from fromnoise.diffusion.prediction import EDM, X0, Eps, V, Velocity
    from fromnoise.diffusion.process import VE, Linear, Normal, Uniform
    from fromnoise.diffusion.samplers.ddim import DDIM
    from fromnoise.diffusion.samplers.euler import Euler, Heun
    from fromnoise.diffusion.samplers.loop import sample
    from fromnoise.diffusion.samplers.multistep import DPMpp, UniPC
    from fromnoise.diffusion.samplers.stochastic import EDMStochastic
    from fromnoise.diffusion.time_grids import KarrasGrid, LogSNRGrid, TrailingGrid, UniformGrid
    from fromnoise.diffusion.time_sampling import DiscreteTimes, LogitNormal, LogNormal, UniformTimes
    from fromnoise.diffusion.vp import VP
    from fromnoise.diffusion.weighting import ClampedVelocity, EDMWeighting, MinSNR, Sigmoid, Unit
    from fromnoise.figures.grid import grid
    from fromnoise.model.samples import Samples
    from fromnoise.model.trained_model import TrainedModel
    from fromnoise.nets.basic_unet import BasicUNet
    from fromnoise.nets.dit import DiT
    from fromnoise.nets.unet import UNet
    from fromnoise.nets.unet2d import UNet2D
    from fromnoise.run.run import Run

__all__ = [
    "DDIM",
    "EDM",
    "VE",
    "VP",
    "X0",
    "Autoguidance",
    "BasicUNet",
    "Batches",
    "ClampedVelocity",
    "ClassifierFreeGuidance",
    "Clipping",
    "DPMpp",
    "Denoiser",
    "DiT",
    "DiscreteTimes",
    "EDMStochastic",
    "EDMWeighting",
    "Eps",
    "Euler",
    "FromNoiseError",
    "Heun",
    "ImageSpec",
    "KarrasGrid",
    "Linear",
    "LogNormal",
    "LogSNRGrid",
    "LogitNormal",
    "MinSNR",
    "Normal",
    "Objective",
    "Run",
    "Samples",
    "Sigmoid",
    "TrailingGrid",
    "TrainedModel",
    "UNet",
    "UNet2D",
    "UniPC",
    "Uniform",
    "UniformGrid",
    "UniformTimes",
    "Unit",
    "V",
    "Velocity",
    "__version__",
    "corrupt",
    "grid",
    "load",
    "sample",
    "sample_with_step",
    "training_loss",
]

_HOMES = {
    "Run": "fromnoise.run.run",
    "TrainedModel": "fromnoise.model.trained_model",
    "Samples": "fromnoise.model.samples",
    "load": "fromnoise.data.loading",
    "Batches": "fromnoise.data.batches",
    "ImageSpec": "fromnoise.common.image_spec",
    "Linear": "fromnoise.diffusion.process",
    "VE": "fromnoise.diffusion.process",
    "Normal": "fromnoise.diffusion.process",
    "Uniform": "fromnoise.diffusion.process",
    "VP": "fromnoise.diffusion.vp",
    "X0": "fromnoise.diffusion.prediction",
    "Eps": "fromnoise.diffusion.prediction",
    "V": "fromnoise.diffusion.prediction",
    "Velocity": "fromnoise.diffusion.prediction",
    "EDM": "fromnoise.diffusion.prediction",
    "Unit": "fromnoise.diffusion.weighting",
    "MinSNR": "fromnoise.diffusion.weighting",
    "ClampedVelocity": "fromnoise.diffusion.weighting",
    "EDMWeighting": "fromnoise.diffusion.weighting",
    "Sigmoid": "fromnoise.diffusion.weighting",
    "UniformTimes": "fromnoise.diffusion.time_sampling",
    "LogitNormal": "fromnoise.diffusion.time_sampling",
    "LogNormal": "fromnoise.diffusion.time_sampling",
    "DiscreteTimes": "fromnoise.diffusion.time_sampling",
    "UNet": "fromnoise.nets.unet",
    "DiT": "fromnoise.nets.dit",
    "BasicUNet": "fromnoise.nets.basic_unet",
    "UNet2D": "fromnoise.nets.unet2d",
    "Denoiser": "fromnoise.diffusion.denoiser",
    "Objective": "fromnoise.diffusion.objective",
    "training_loss": "fromnoise.diffusion.objective",
    "ClassifierFreeGuidance": "fromnoise.diffusion.guidance",
    "Autoguidance": "fromnoise.diffusion.guidance",
    "Clipping": "fromnoise.diffusion.guidance",
    "UniformGrid": "fromnoise.diffusion.time_grids",
    "KarrasGrid": "fromnoise.diffusion.time_grids",
    "TrailingGrid": "fromnoise.diffusion.time_grids",
    "LogSNRGrid": "fromnoise.diffusion.time_grids",
    "DDIM": "fromnoise.diffusion.samplers.ddim",
    "Euler": "fromnoise.diffusion.samplers.euler",
    "Heun": "fromnoise.diffusion.samplers.euler",
    "DPMpp": "fromnoise.diffusion.samplers.multistep",
    "UniPC": "fromnoise.diffusion.samplers.multistep",
    "EDMStochastic": "fromnoise.diffusion.samplers.stochastic",
    "sample": "fromnoise.diffusion.samplers.loop",
    "FromNoiseError": "fromnoise.common.errors",
    "corrupt": "fromnoise.chapter.functions",
    "sample_with_step": "fromnoise.chapter.functions",
    "grid": "fromnoise.figures.grid",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
