"""A distilled run in the studio: sampled in few steps as by the command, and watched with samplers that suit it."""

from __future__ import annotations

from base64 import b64decode

import pytest

from fromnoise.run import Run


@pytest.fixture(scope="module")
def few(tiny_run, tmp_path_factory):
    """A folder with a distillation of the tiny run."""
    folder = tmp_path_factory.mktemp("few")
    Run.distill(tiny_run.path, folder / "few", budget=None, num_images=640, trajectories=64).train()
    return folder


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_its_samples_are_those_of_the_command(client_of, few, how, steps, by_command):
    client = client_of(few, known=True)
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    choices = client.get(f"{place}/playground").json()
    assert choices["distilled"] and not choices["guided"], "guidance is built in"
    wish = {**how, "first": 5, "num": 4, "film": True, "steps": steps}
    wish |= {name: choices[name] for name in ("sampler", "grid", "guidance_scale")}
    answer = client.post(f"{place}/sample", json=wish, headers={"origin": "http://127.0.0.1:8420"})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert b64decode(made["image"]) == by_command(made["command"])
    assert made["evaluations"] == len(made["frames"]) == steps


def test_the_microscope_walks_its_own_steps(browser, serving_on, few, expect):
    with serving_on(few) as served:
        page = browser.new_page()
        page.goto(served.address)
        page.get_by_role("link", name="few", exact=True).click()
        page.get_by_role("link", name="Microscope").click()
        walk = page.locator(".walk[data-drawn]")
        heads = [f"{sampler} · 2 network evaluations" for sampler in ("renoise", "ddim")]
        expect(walk.get_by_role("heading", level=3)).to_have_text(heads, timeout=60_000)
        expect(walk.get_by_role("spinbutton", name="Steps")).to_have_value("2")
        expect(walk.get_by_role("combobox", name="Sampler")).to_have_value("renoise")
        page.close()
