"""What the chapter says, section by section. Braces are filled in with what was run and measured."""

from __future__ import annotations

LEAD = """
How two small networks learn to make digits out of noise: every step of the tutorial chapter that fromnoise grew from,
done with the library{numbers}.
"""

QUICK = """
This is the quick chapter: it trains a part of what the chapter trains, and says which wherever a number is shown.
`fromnoise chapter` without `--quick` trains all of it.
"""

OTHER_DATA = """
The images are {data}, not the chapter's MNIST, so no published numbers can stand beside ours.
"""

FIRST_BATCH = """
Everything below was computed on {device}: {reason}. The images are {data}. They wait in memory as bytes, and a batch
becomes floats from 0 (paper) to 1 (ink) when it is needed, ordered batch, channel, height, width.
"""

CORRUPT = """
A network that removes noise needs noise to remove. `corrupt` draws uniform noise in the shape of the images and mixes
the two: with amount 0 the image stays as it is, with amount 1 nothing of it is left, and between them lies a straight
line.

In the library this is a process, `Linear(Uniform())`: x_t = alpha(t) x0 + sigma(t) eps with alpha = 1 - t and
sigma = t. The amount is its time t, and `corrupt` only calls it.
"""

TRAIN = """
BasicUNet is about the smallest network that has a U-Net's shape: three 5x5 convolutions on the way down, three on the
way up, each followed by SiLU. What was seen on the way down is added again on the way up, so that fine lines need not
squeeze through the middle. It has {parameters} parameters, and what comes out has the shape of what went in.

Training asks one question many times: here is a mix, what was the image? Each image gets an amount of its own, the
answer is compared with the clean image pixel by pixel (mean squared error), and Adam moves the weights. Nobody tells
the network how much noise there is; it has to see that for itself.
"""

TRAIN_AS_RUN = """
The same as a run of the recipe `chapter-basic`. A run lives in a folder, keeps its weights and its losses, goes on
where it was stopped, and can be sampled later. The figures below come from this one.
"""

PREDICTIONS = """
Asked once, the network sees through a little noise and answers sharply. From much noise comes a blur: the mean of all
the digits that the mix could have been. That is no fault. It is the best answer to a squared error, and the reason why
one step does not make a picture.
"""

SAMPLE = """
A blurred answer still points in a good direction. So a sampler goes only a part of the way: start from nothing but
noise, ask, move a little towards the answer, and ask again. Of n steps, step i takes the share m = 1 / (n - i) of what
lies between x and the answer, so that the last step goes all the way.
"""

SAMPLE_BY_HAND = """
Written by hand it is four lines. In the library it is DDIM on a uniform grid of times: the very same move, as the
table says. `sample_with_step` is that sampler, and keeps what was seen on the way.
"""

UNET2D = """
Now the same data, corruption, loss and optimiser with a network from diffusers. Its {parameters} parameters bring what
larger diffusion models are made of: group normalisation, dropout (here at its default rate, 0), several ResNet layers
in each block, attention where the picture is small, a timestep as a condition, and down- and upsampling that is
learned. The timestep is held at 0, so that this network is as blind to the time as BasicUNet.
"""

DDPM = """
DDPM, the classic recipe, corrupts by another rule. It takes 1000 small steps, each of which fades the picture slightly
and adds a little normal noise: q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I). All steps up to t can be
taken at once, x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, where abar_t is the product of the (1 - beta).
So it is the one equation again, with other curves: our `VPLinear`. The images lie in [-1, 1] here.

Its network is asked for the noise instead of the image. The two answers say the same thing, but not the same mistake:
the error of the noise is the error of the image times alpha / sigma. Squared, this is the signal-to-noise ratio of the
table below, and it makes the steps with little noise count most.
"""

TOLD = """
Both networks so far had to guess how much noise they look at. Diffusion models are usually told: the timestep becomes
an embedding and enters the network in several places. BasicUNet gets the plainest version of it, a second input
channel that holds the time everywhere, which is one setting. Data, order, noise, seed and number of steps are those of
the blind network.
"""

TOLD_BY_LEVEL = """
The loss while training mixes all amounts together. On images that neither network has seen, with the same noise for
both, the error can be told apart by amount. {reading}
"""

STEPS = """
More steps are more questions. How much do they help? An independent classifier, trained on the real images, looks at
samples that all start from the same noise. Its confidence is the mean probability of the class it finds likeliest; the
one-class share is that of the pictures which it gives to one class with more than {sure:.0%}. The flat line
stands for real images: {real}.

A judge that must choose can be fooled. After one step all answers are nearly the same mean picture, and it may be quite
sure which digit that one picture is. So the table also tells the share of the commonest class: where it comes near 1,
the other two numbers mean nothing.
"""

NO_JUDGE = """
The images have no classes, so no classifier can judge samples; for numbers on quality by steps use data with labels.
"""

PUBLISHED = """
All that can be compared, in one place. The other numbers stand in their sections, and `chapter.json` beside this page
holds every one of them for programs.
"""

GO_ON = """
The networks are ordinary run folders, so all the verbs work on them. The recipe `default` is what the project has made
of this chapter: the same equation with normal noise, a network that is told time and class, and averaged weights.
"""


def filled(words: str, **values: object) -> str:
    """`words` with its values, without the blank lines around it."""
    return words.format(**values).strip()
