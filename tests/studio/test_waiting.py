"""A slow disk keeps nobody else waiting: what waits for the index waits beside the loop that answers."""

from __future__ import annotations

import asyncio
import shutil
import threading

import httpx2 as httpx
import pytest

from fromnoise.studio.app import build_app

HEADERS = {"origin": "http://127.0.0.1:8420"}
NEW = {"data": "run:RUN", "recipe": "default-tiny", "budget": "1s", "epochs": 0.0, "seed": 1}
BRUSH = {"source": "training", "number": 0, "pixels": ""}
ACTIONS = {  # what comes after the wish's common fields
    "sample": {"first": 0, "num": 1, "film": False},
    "interpolate": {"first": 0, "second": 1},
    "vary": {"image": 0, "strength": 0.5, "first": 0, "num": 1},
    "inpaint": {**BRUSH, "mask": "", "resample": 1, "first": 0, "num": 1},
    "look": {**BRUSH, "part": 0.5, "seed": 0, "neighbours": False},
    "walk": {"seed": 0, "samplers": ["euler"]},
}
POSTED = {
    "/api/new/begin": {**NEW, "name": "../out"},
    "/api/new/enqueue": {**NEW, "name": "../out"},
    "/api/new/estimate": {**NEW, "budget": "none"},
    "/api/runs/RUN/rename": {"name": "../out"},
    "/api/runs/RUN/delete": {},
    "/api/runs/RUN/stop": {},
    "/api/runs/RUN/tools/begin": {"name": "nothing"},
    "/api/runs/RUN/tools/stop": {"name": "nothing"},
}
GOT = [f"/api/runs/RUN{part}" for part in ("", "/live", "/data", "/data/images", "/image?source=drawn", "/tools/live")]


@pytest.mark.parametrize("path", [*GOT, "/api/runs", *POSTED, *(f"/api/runs/RUN/{name}" for name in ACTIONS)])
def test_a_slow_index_keeps_no_other_route_waiting(root, tmp_path, access, how, path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run", ignore=shutil.ignore_patterns("edits"))
    app = build_app(tmp_path, access)
    held, go, answered = threading.Event(), threading.Event(), []

    def hold():
        with app.state.index._lock:
            held.set()
            answered.append(go.wait(20))

    async def both():
        transport = httpx.ASGITransport(app)
        cookies = {access.cookie: access.token}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420", cookies=cookies) as client:
            run = (await client.get("/api/runs")).json()["runs"][0]["id"]
            holder = threading.Thread(target=hold)
            holder.start()
            await asyncio.to_thread(held.wait)
            name = path.rpartition("/")[2]
            body = POSTED.get(path) or ({**how, **ACTIONS[name], "steps": 0} if name in ACTIONS else None)
            if body and body.get("data"):
                body = {**body, "data": f"run:{run}"}
            place = path.replace("RUN", run)
            slow = asyncio.create_task(
                client.get(place)
                if path in (*GOT, "/api/runs")
                else client.post(place, json=body or {}, headers=HEADERS)
            )
            await asyncio.sleep(0.1)
            assert (await client.get("/page/app.js")).status_code == 200 and not slow.done()
            go.set()
            await asyncio.to_thread(holder.join)
            if "live" in path:
                app.state.streams.closing = True
            assert (await slow).status_code in (200, 400, 404, 409)

    asyncio.run(both())
    assert answered == [True], "nobody waited until the index was free"
