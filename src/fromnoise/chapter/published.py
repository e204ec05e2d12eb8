"""The published numbers that ours stand beside, all measured on MNIST, and where they were published.

The networks and their parameter counts are those of the notebook NETWORKS. It prints losses of its own: the six mean
losses here are those of the chapter LOSSES, which follows that notebook and numbers its sections 3.1 to 3.6.
"""

from __future__ import annotations

NETWORKS = (
    '"Diffusion models from scratch", unit 1 of Hugging Face\'s diffusion course (Apache-2.0), '
    "https://github.com/huggingface/diffusion-models-class"
)
LOSSES = 'chapter 3, "从零开始搭建扩散模型" (in Chinese), which follows that notebook'

WHOLE_TRAINING = 180_000  # 3 epochs of MNIST's 60,000 images
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
