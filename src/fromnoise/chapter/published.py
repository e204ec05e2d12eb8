"""The chapter's own numbers, all measured on MNIST; ours are set beside them."""

from __future__ import annotations

FIRST_BATCH = (8, 1, 28, 28)
PARAMETERS = {"BasicUNet": 309_057, "UNet2DModel": 1_707_009}
EPOCH_LOSSES = {
    "BasicUNet": (0.026962, 0.020560, 0.018586),
    "UNet2DModel": (0.018765, 0.012869, 0.011522),
}
# The chapter's code run again with other seeds on a 2-core CPU: how far apart two runs of the same thing lie.
RERUNS = {
    "BasicUNet": ((0.026741, 0.020507, 0.018798), (0.027756, 0.021162, 0.019348)),
    "UNet2DModel": ((0.019594, 0.012768, 0.011594),),
}
