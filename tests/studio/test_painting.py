"""Inpainting by a brush makes what the command makes, byte for byte; files are read by the guarded reader alone."""

from __future__ import annotations

import io
import shlex
import shutil
import struct
import zlib
from base64 import b64decode, b64encode

import numpy as np
import pytest
from PIL import Image

from fromnoise.editing.editor import Editor
from fromnoise.studio import painting, security

HEADERS = {"origin": "http://127.0.0.1:8420"}
SIDE = 16


def text_of(array):
    return b64encode(array.tobytes()).decode()


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture
def mask():
    """The upper left quarter of an image, and a pixel besides."""
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[:8, :8] = found[15, 15] = 255
    return found


@pytest.fixture
def wish(how, mask):
    """Two completions of a training image."""
    image = {"source": "training", "number": 7, "pixels": "", "mask": text_of(mask), "resample": 1}
    return {**how, **image, "first": 3, "num": 2}


@pytest.fixture
def pixels():
    """A drawn image."""
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1), np.uint8)


@pytest.fixture
def own(client_of, root, tmp_path):
    """own(): (a client of the studio on a run of the test's own, the address and the folder of that run)."""
    shutil.copytree(root / "digits-tiny", tmp_path / "runs" / "run", ignore=shutil.ignore_patterns("edits"))
    client = client_of(tmp_path / "runs", known=True)
    client.headers.update(HEADERS)
    return client, f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}", tmp_path / "runs" / "run"


@pytest.fixture
def ask(own):
    """Posts a wish to the run."""
    client, place, _ = own
    return lambda action, body: client.post(f"{place}/{action}", json=body)


def test_a_training_image_is_completed_as_by_the_command(ask, wish, mask, tiny_run, by_command):
    made = ask("inpaint", wish).json()
    images = [b64decode(image) for image in made["images"]]
    assert by_command(made["command"]) == images and len(images) == 2 and made["names"] == ["seed 3", "seed 4"]
    assert "--image 7 " in made["command"] and (opened(b64decode(made["files"]["mask"])) == mask).all()
    model = tiny_run.model(sampler="ddim", grid="auto", steps=3, guidance_scale=1.0)
    edit = Editor(model, lambda: tiny_run.data, requested={"steps": 3}).inpaint(7, mask == 255, seeds=[3, 4])
    given = tiny_run.data.images[7, 0].numpy()
    for content, image in zip(images, edit.images):
        assert (opened(content) == image[..., 0]).all()
        assert (opened(content)[mask == 0] == given[mask == 0]).all(), "the rest is kept"
    assert (images[0] != images[1]) and "inpainted: 65 of 256 pixels" in made["notes"]


@pytest.mark.parametrize(
    "changes",
    [{"resample": 2, "num": 1}, {"label": ["3"], "steps": 5, "sampler": "heun"}, {"weights": "raw", "grid": "karras"}],
)
def test_settings_are_those_of_the_command(ask, wish, changes, by_command):
    made = ask("inpaint", {**wish, **changes}).json()
    assert by_command(made["command"]) == [b64decode(image) for image in made["images"]]


def test_a_drawn_and_a_validation_image_are_files_of_the_command(own, wish, pixels, by_command, tiny_run):
    client, place, folder = own
    drawn = client.post(f"{place}/inpaint", json={**wish, "source": "drawn", "pixels": text_of(pixels)}).json()
    assert by_command(drawn["command"]) == [b64decode(image) for image in drawn["images"]]
    assert (opened(b64decode(drawn["files"]["image"])) == pixels[..., 0]).all() and "--class" not in drawn["command"]
    held = client.post(f"{place}/inpaint", json={**wish, "source": "validation", "number": 2}).json()
    name = tiny_run.spec.classes[int(tiny_run.held_out.labels[2])]
    assert f"--class={name}" in held["command"], "no file says of which class it is"
    assert by_command(held["command"]) == [b64decode(image) for image in held["images"]]
    assert (opened(b64decode(held["files"]["image"])) == tiny_run.held_out.images[2, 0].numpy()).all()
    kept = {path.name for path in (folder / "edits" / "brush").iterdir()}
    assert len(kept) == 3 and all(
        path.split("/")[-1] in kept for path in shlex.split(held["command"]) if ".png" in path
    )


def test_the_files_of_the_command_are_bounded(own, wish, monkeypatch, mask):
    client, place, folder = own
    monkeypatch.setattr(painting, "KEPT", 3)
    (folder / "edits" / "brush").mkdir(parents=True)
    (folder / "edits" / "brush" / "mine.png").write_bytes(b"mine")
    for row in range(6):
        mask[row, 12] = 255
        made = client.post(f"{place}/inpaint", json={**wish, "num": 1, "mask": text_of(mask)}).json()
    kept = [path.name for path in (folder / "edits" / "brush").iterdir()]
    assert len(kept) == 4 and "mine.png" in kept
    assert any(name in made["command"] for name in kept), "the newest stays"


@pytest.mark.parametrize("link", ["edits", "edits/brush"])
def test_a_link_takes_no_file_out_of_the_run(own, wish, tmp_path, link):
    client, place, folder = own
    (tmp_path / "elsewhere").mkdir()
    (folder / link).parent.mkdir(exist_ok=True)
    (folder / link).symlink_to(tmp_path / "elsewhere")
    made = client.post(f"{place}/inpaint", json={**wish, "num": 1}).json()
    assert "--mask mask.png" in made["command"] and "leads out" in made["unkept"][0] and made["images"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


WHOLE = np.full((SIDE, SIDE), 255, np.uint8)
REFUSED = {
    "every pixel": {"mask": text_of(WHOLE)},
    "no pixel": {"mask": text_of(WHOLE * 0)},
    "another size": {"mask": text_of(WHOLE[:, :15])},
    "a larger size": {"mask": text_of(np.zeros(100_000, np.uint8))},
    "another level": {"mask": text_of(np.arange(256, dtype=np.uint8))},
    "nothing": {"mask": ""},
    "no base64": {"mask": "não é base64"},
    "a file": {"mask": b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()},
    "a path": {"mask": "../../etc/passwd"},
    "another type": {"mask": [1, 2]},
    "an image that is not there": {"number": 10**6},
    "another source": {"source": "/etc/passwd"},
    "a drawn image without pixels": {"source": "drawn"},
    "no passes": {"resample": 0},
    "many passes": {"resample": 11},
    "many images": {"num": 65},
    "no such class": {"label": ["x"]},
    "a field more": {"more": 1},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_mask_that_cannot_be_is_refused(own, wish, what):
    client, place, folder = own
    answer = client.post(f"{place}/inpaint", json={**wish, **REFUSED[what]})
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10
    assert not (folder / "edits").exists()


def test_more_than_an_image_and_a_mask_is_not_read(own, wish):
    client, place, _ = own
    answer = client.post(f"{place}/inpaint", json={**wish, "mask": "A" * (security.MOST_PIXELS_BYTES + 1)})
    assert answer.status_code == 413
    assert client.post(f"{place}/sample", json={**wish, "mask": "A" * 100_000}).status_code == 413


FILE = {"content-type": "application/octet-stream"}


def encoded(array, kind="PNG"):
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind)
    return content.getvalue()


def bomb(side):
    """A PNG of side x side pixels in a few kilobytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(side + 1)) for _ in range(min(side, 2000))) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_dropped_file_is_read_as_the_command_reads_it(own, pixels, tmp_path):
    from fromnoise.common.image_spec import ImageSpec
    from fromnoise.editing.inputs import read_image

    client, place, folder = own
    same = client.post(f"{place}/image", content=encoded(pixels[..., 0]), headers=FILE).json()
    assert b64decode(same["pixels"]) == pixels.tobytes() and (opened(b64decode(same["image"])) == pixels[..., 0]).all()
    assert (same["size"], same["label"]) == ([SIDE, SIDE], None)
    photo = np.random.default_rng(1).integers(0, 256, (90, 60, 3), np.uint8)
    for kind in ("JPEG", "WEBP", "TIFF", "BMP"):
        content = encoded(photo, kind)
        (tmp_path / f"photo.{kind}").write_bytes(content)
        found = client.post(f"{place}/image", content=content, headers=FILE).json()
        expected = read_image(tmp_path / f"photo.{kind}", ImageSpec(1, SIDE, SIDE), center_crop=True)
        assert b64decode(found["pixels"]) == expected.pixels.permute(0, 2, 3, 1).numpy().tobytes()
        assert (found["size"], found["cropped"]) == ([90, 60], True)
    assert not (folder / "edits").exists(), "looking keeps nothing"


HARMFUL = {
    "empty": b"",
    "no image": b"<html><script>alert(1)</script></html>",
    "a drawing of another kind": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "noise": np.random.default_rng(2).bytes(5000),
    "a truncated PNG": encoded(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))[:-2000],
    "a truncated JPEG": encoded(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")[:900],
    "a head alone": encoded(WHOLE)[:40],
    "a bomb": bomb(60_000),
    "a smaller bomb": bomb(9000),
    "python": b"\x80\x04\x95" + bytes(100),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_a_harmful_file_is_refused(own, what):
    client, place, folder = own
    answer = client.post(f"{place}/image", content=HARMFUL[what], headers=FILE)
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10, answer.text
    assert client.get("/api/runs").status_code == 200 and not (folder / "edits").exists()


def test_files_are_bounded_typed_and_need_the_token(own, client_of, monkeypatch):
    client, place, folder = own
    large = bytes(security.MOST_UPLOAD_BYTES + 1)
    assert client.post(f"{place}/image", content=large, headers=FILE).status_code == 413
    pieces = (bytes(1_000_000) for _ in range(22))  # without a length
    assert client.post(f"{place}/image", content=pieces, headers=FILE).status_code == 413
    assert client.post(f"{place}/image", json={}).status_code == 415
    assert client.post(f"{place}/sample", content=b"{}", headers=FILE).status_code == 415
    stranger = client_of(folder.parent)
    assert stranger.post(f"{place}/image", content=b"", headers={**HEADERS, **FILE}).status_code == 401
    assert (
        client.post(f"{place}/image", content=b"", headers={"origin": "http://evil.example", **FILE}).status_code == 403
    )
    assert client.post("/api/runs/0123456789abcdef/image", content=b"", headers=FILE).status_code == 404
    monkeypatch.setattr(security, "MOST_HELD_BYTES", 1000)
    assert client.post(f"{place}/image", content=bytes(2000), headers=FILE).status_code == 503
    monkeypatch.undo()
    assert client.post(f"{place}/image", content=encoded(WHOLE), headers=FILE).status_code == 200, "nothing is held on"


@pytest.mark.parametrize("source", ["training", "validation"])
def test_an_image_of_the_run_is_given_by_its_number(own, tiny_run, source):
    client, place, _ = own
    images = tiny_run.data if source == "training" else tiny_run.held_out
    found = client.get(f"{place}/image", params={"source": source, "number": 5}).json()
    assert b64decode(found["pixels"]) == images.images[5, 0].numpy().tobytes()
    assert found["label"] == tiny_run.spec.classes[int(images.labels[5])]
    for query in ({"number": -1}, {"number": 1e9}, {"number": "nan"}, {"source": "drawn"}, {"source": "../x"}):
        assert client.get(f"{place}/image", params={"source": source, "number": 5, **query}).status_code == 400
