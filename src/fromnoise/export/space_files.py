"""A Space: the folder for diffusers in model/, and a gradio app around it, for here and for the Hub."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fromnoise.export.diffusers_files import STEP_COUNTS, sampler_config
from fromnoise.model.trained_model import TrainedModel

GRADIO = "6.31.0"
"""The version that the tests start the app with; the Hub installs it by the README's header."""
_APP = Path(__file__).parent / "portable" / "app.py"


def space_facts(model: TrainedModel, title: str, stock: bool) -> dict[str, Any]:
    """What app.py knows of the model: its entries in fromnoise-export.json."""
    own, taken = model.sampling, model.spec.guidance_input
    plans = {} if stock else sampler_config(model, "")["plans"]
    most = getattr(model.process, "steps", max(STEP_COUNTS))  # of a table, as many as it has entries
    offered = () if own.sampler == "ddpm_large" else STEP_COUNTS  # in fewer diffusers adds noise in the last step
    counts = sorted({own.steps, *(n for n in offered if n <= most)}) if stock else sorted(map(int, plans))
    guided = any(one["guided"] for plan in plans.values() for one in plan["evaluations"])
    return {
        "title": title,
        "classes": list(model.spec.classes),
        "steps": own.steps,
        "step_counts": counts,
        "guided": guided,
        "guidance_scale": own.guidance_scale,
        "guidance_range": [1, taken.most] if taken else [0, max(5, own.guidance_scale)],
    }


def space_files(title: str, licence: str, compared: str) -> dict[str, bytes]:
    """app.py, requirements.txt and README.md with the header that a Space has.

    Arguments:
        title: of the page.
        licence: an identifier such as "apache-2.0".
        compared: a sentence on how the app's images were compared.
    """
    needed = [f"{name}>={version(name).partition('+')[0]}" for name in ("diffusers", "torch", "safetensors")]
    readme = f"""\
---
title: {json.dumps(title)}
emoji: 🎲
colorFrom: blue
colorTo: gray
sdk: gradio
sdk_version: {GRADIO}
app_file: app.py
license: {licence}
---

# {title}

A gradio app around the diffusers pipeline in `model/`, whose card is `model/README.md`.

    pip install -r requirements.txt
    python app.py

On the Hub: `hf upload OWNER/NAME . --repo-type space`.

{compared}
"""
    return {
        "app.py": _APP.read_bytes(),
        "requirements.txt": "\n".join([*needed, f"gradio>={GRADIO.partition('.')[0]}", ""]).encode(),
        "README.md": readme.encode(),
    }
