"""The playground makes what the command line makes, byte for byte, and names the command that does."""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import pytest

from fromnoise.studio.index import RunIndex
from fromnoise.studio.security import Refused
from fromnoise.studio.work import MOST_WAITING, Queue

SAMPLE = {"first": 5, "num": 4, "film": True}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label": ["3"], "sampler": "heun", "steps": 2, "weights": "raw"},
        {"guidance_scale": 2.0, "guidance_interval": [0.2, 0.8], "first": 2**40, "num": 1, "checkpoint": "640"},
        {"weights": "ema:0.1", "grid": "karras"},
        {"sampler": "edm"},
    ],
)
def test_samples_are_those_of_the_command(ask, how, changes, by_command):
    answer = ask("sample", {**how, **SAMPLE, **changes})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert b64decode(made["image"]) == by_command(made["command"])
    assert len(made["frames"]) == {**how, **changes}["steps"] and made["checkpoint"] == 640
    assert b64decode(made["frames"][-1]) == b64decode(made["image"])


def test_an_interpolation_is_that_of_the_command(ask, how, by_command):
    made = ask("interpolate", {**how, "first": 3, "second": 9}).json()
    files = by_command(made["command"])
    assert [b64decode(image) for image in made["images"]] == files and len(files) == 9


def test_variations_are_those_of_the_command(ask, how, by_command):
    made = ask("vary", {**how, "image": 7, "strength": 0.5, "first": 0, "num": 2}).json()
    files = by_command(made["command"])
    assert [b64decode(image) for image in made["images"]] == files and len(made["given"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "nonsense"},
        {"grid": "../../etc/passwd"},
        {"steps": 0},
        {"steps": 10**6},
        {"num": 65},
        {"num": 0},
        {"first": -1},
        {"first": 2**60},
        {"label": ["no such class"]},
        {"label": ["1", "2"]},
        {"label": [3]},
        {"weights": "ema:9"},
        {"weights": "../x"},
        {"checkpoint": "../640"},
        {"guidance_interval": [0.1]},
        {"guidance_interval": ["a", "b"]},
        {"guidance_scale": -1},
        {"page": "x"},
        {"page": "../../../x"},
        {"film": 1},
        {"more": 1},
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_a_sentence(ask, how, changes):
    answer = ask("sample", {**how, **SAMPLE, **changes})
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10


def test_a_checkpoint_that_is_not_there(ask, how):
    assert ask("sample", {**how, **SAMPLE, "checkpoint": "641"}).status_code == 409


def test_the_wish_that_comes_last_is_the_newest_however_long_its_run_is_looked_up(client_of, root, how, monkeypatch):
    slow = threading.Event()
    look_up = RunIndex.folder

    def slowly(self, name):
        if not slow.is_set():
            slow.set()
            time.sleep(0.5)
        return look_up(self, name)

    monkeypatch.setattr(RunIndex, "folder", slowly)
    with client_of(root, known=True) as client, ThreadPoolExecutor(2) as both:
        place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/sample"
        wish = {"json": {**how, **SAMPLE}, "headers": {"origin": "http://127.0.0.1:8420"}}
        older = both.submit(client.post, place, **wish)
        assert slow.wait(10)
        newer = both.submit(client.post, place, **wish)
        assert (newer.result().status_code, older.result().status_code) == (200, 409)


def test_sampling_needs_the_token(client, how):
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/sample"
    assert client.post(place, json={**how, **SAMPLE}, headers={"origin": "http://127.0.0.1:8420"}).status_code == 401
    assert client.get(place).status_code == 405


def test_the_choices_are_those_of_the_run(client, tiny_run):
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    found, sample = client.get(f"{place}/playground").json(), tiny_run.settings.sample
    assert (found["steps"], found["sampler"], found["guidance_scale"]) == (3, sample.sampler, sample.guidance_scale)
    assert found["checkpoints"] == [640] and found["classes"] == list(tiny_run.spec.classes)
    assert found["last_time"] == 1.0 and found["lengths"] == [0.01, 0.28]


def test_a_newer_wish_ends_an_older_of_the_same_page_and_the_queue_is_short():
    async def all_at_once():
        queue, begun, go = Queue(), threading.Event(), threading.Event()

        def long(check):
            begun.set()
            go.wait(10)
            check()
            return "long"

        first = asyncio.create_task(queue.do("one", long))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(queue.do(f"page {i}", lambda check: "other")) for i in range(MOST_WAITING - 2)]
        newer = asyncio.create_task(queue.do("one", lambda check: "newer"))
        await asyncio.sleep(0.05)
        with pytest.raises(Refused) as full:
            await queue.do("late", lambda check: "late")
        go.set()
        with pytest.raises(Refused) as replaced:
            await first
        assert (full.value.status, replaced.value.status) == (503, 409)
        assert await newer == "newer" and [await one for one in others] == ["other"] * len(others)
        assert await queue.do("late", lambda check: "late") == "late"

    asyncio.run(all_at_once())
