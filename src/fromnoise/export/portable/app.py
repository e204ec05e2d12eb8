"""A page that samples the diffusers pipeline in model/: `python app.py`, or this folder as a Space of the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

FOLDER = Path(__file__).parent
ABOUT = json.loads((FOLDER / "fromnoise-export.json").read_text(encoding="utf-8"))
ANY = "any"
MOST = 16


def load() -> Any:
    """The pipeline in model/, on the GPU where there is one."""
    own_code = isinstance(json.loads((FOLDER / "model" / "model_index.json").read_text())["_class_name"], list)
    trust: dict[str, bool] = {"trust_remote_code": True} if own_code else {}
    pipe = DiffusionPipeline.from_pretrained(str(FOLDER / "model"), low_cpu_mem_usage=False, **trust)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def generate(
    pipe: Any, label: str = ANY, seed: int = 0, count: int = 1, steps: int = ABOUT["steps"], scale: float | None = None
) -> list[Image.Image]:
    """Images of `count` seeds, from `seed` on; a class drawn for each where label is "any"."""
    generators = [torch.Generator().manual_seed(int(seed) + i) for i in range(int(count))]
    given: dict[str, Any] = {"num_inference_steps": int(steps), "generator": generators}
    if ABOUT["classes"] and label != ANY:
        given["class_labels"] = [ABOUT["classes"].index(label)] * int(count)
    if ABOUT["guided"]:
        given["guidance_scale"] = scale
    images: list[Image.Image] = pipe(batch_size=int(count), **given).images
    return images


def build(pipe: Any) -> Any:
    """The page, by gradio."""
    import gradio as gr

    def answer(label: str, seed: float, count: float, steps: float, scale: float) -> list[Image.Image]:
        return generate(pipe, label, int(seed), int(count), int(steps), scale)

    with gr.Blocks(title=ABOUT["title"]) as page:
        gr.Markdown(f"# {ABOUT['title']}\n\nA neural network that turns noise into images, trained with fromnoise.")
        with gr.Row():
            with gr.Column(scale=1):
                label = gr.Dropdown([ANY, *ABOUT["classes"]], value=ANY, label="Class", visible=bool(ABOUT["classes"]))
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                count = gr.Slider(1, MOST, value=8, step=1, label="Images")
                steps = gr.Dropdown(ABOUT["step_counts"], value=ABOUT["steps"], label="Steps")
                scale = gr.Slider(
                    *ABOUT["guidance_range"],
                    ABOUT["guidance_scale"],
                    label="Guidance",
                    visible=ABOUT["guided"],
                )
                button = gr.Button("Generate", variant="primary")
            with gr.Column(scale=2):
                images = gr.Gallery(label="Images", columns=4, format="png", object_fit="contain")
                gr.HTML("<style>.grid-wrap img, .preview img { image-rendering: pixelated; }</style>")
        inputs = [label, seed, count, steps, scale]
        button.click(answer, inputs, images, api_name="generate")
        page.load(answer, inputs, images, api_name=False)
    return page


if __name__ == "__main__":
    build(load()).launch()
