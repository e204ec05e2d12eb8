"""What the tests of exports share: models whose weights are drawn, so that time, class and image matter at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import replaced
from fromnoise.export.runtime import VERSION
from fromnoise.model.build import build_denoiser
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import Settings


class Made(Protocol):
    def __call__(self, spec: ImageSpec, std: float = 0.1, **changes: Any) -> TrainedModel: ...


@pytest.fixture(scope="session")
def settings_of():
    """The settings of `made`, from those that a test changes."""

    def settings(**changes: Any) -> Settings:
        return replaced(Settings(), {"net.width": 8, "net.depth": 1, "sample.steps": 3, **changes})

    return settings


@pytest.fixture(scope="session")
def made(settings_of) -> Made:
    """made(spec, std, **settings): a small model with weights of that deviation and training images of each class."""

    def make(spec: ImageSpec, std: float = 0.1, **changes: Any) -> TrainedModel:
        settings = settings_of(**changes)
        denoiser = build_denoiser(settings, replace(spec, low=settings.process.low), 0.5)
        torch.manual_seed(0)
        for parameter in denoiser.parameters():
            torch.nn.init.normal_(parameter, std=std)
        counts = tuple(range(len(spec.classes), 0, -1))
        return TrainedModel(denoiser.eval(), settings.sample, counts, images=1234)

    return make


@pytest.fixture(scope="session")
def run(tiny_run) -> Path:
    """The folder of a run that training made; tests only look at it."""
    return tiny_run.path


@pytest.fixture(scope="session")
def package(npm_package) -> Path:
    """onnxruntime-web as npm packs it."""
    return npm_package(f"onnxruntime-web@{VERSION}")


@pytest.fixture
def opened(browser):
    """opened(path, script, **context): (page, what its console said) after the first image and its completion.

    script: is run before the page's own.
    """
    contexts = []

    def open_page(path: Path, script: str = "", **context: Any):
        contexts.append(browser.new_context(offline=True, **context))
        page, said = contexts[-1].new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.add_init_script(script)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-completed]", timeout=60_000)
        return page, said

    yield open_page
    for context in contexts:
        context.close()
