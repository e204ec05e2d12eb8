"""The HTML file: what is in it, in what precision, and what is refused. In a browser: test_page.py."""

from __future__ import annotations

import io
import random
import tarfile

import numpy as np
import pytest

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.export import html_file as module
from fromnoise.export.html_file import corruption_table, html_file
from fromnoise.export.runtime import BINARY, SCRIPT, VERSION, Runtime, web_runtime
from fromnoise.export.shared_noise import hashed, shared_noise

pytest.importorskip("onnxruntime")
NOTHING = Runtime(b"", b"")


def test_shared_noise_is_normal_uniform_and_its_seeds_own():
    many = shared_noise(3, 200_000)
    assert abs(many.mean()) < 0.01 and abs(many.std() - 1) < 0.01 and abs((many**3).mean()) < 0.03
    flat = shared_noise(3, 200_000, "uniform")
    assert flat.min() > 0 and flat.max() <= 1 and abs(flat.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(many, shared_noise(4, 200_000))[0, 1]) < 0.01
    assert (shared_noise(3, 10) == many[:10]).all()


def test_the_hash_is_lowbias32():
    def by_hand(n):
        n = (n ^ (n >> 16)) * 0x21F0AAAD % 2**32
        n = (n ^ (n >> 15)) * 0x735A2D97 % 2**32
        return n ^ (n >> 15)

    numbers = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    assert hashed(numbers).tolist() == [by_hand(n) for n in numbers]


def test_corruption_runs_from_the_image_to_noise(made):
    rows = corruption_table(made(ImageSpec(1, 8, 8)))
    assert (rows[0]["t"], rows[-1]["sigma"]) == pytest.approx((0.001, 1.0)) and rows[0]["alpha"] == pytest.approx(0.999)


def test_corruption_has_as_much_of_the_image_as_of_noise_on_every_process(made):
    for process in ("linear", "vp", "ve"):
        rows = corruption_table(made(ImageSpec(1, 8, 8), **{"process.kind": process, "sample.grid": "auto"}))
        shares = [row["sigma"] / (row["alpha"] + row["sigma"]) for row in rows]
        assert np.diff(shares).max() < 0.03 and shares[0] < 0.02 and shares[-1] > 0.98, process


def test_a_large_network_is_stored_in_half(made, monkeypatch):
    model = made(ImageSpec(1, 8, 8), **{"net.width": 32})
    whole = html_file(model, "whole", NOTHING)
    monkeypatch.setattr(module, "MOST_BYTES", len(whole.content) - 1000)
    half = html_file(model, "half", NOTHING)
    assert (whole.half, half.half) == (False, True) and len(half.content) < 0.8 * len(whole.content)
    assert whole.difference < half.difference < 0.05  # what the rounding changes counts, too


def test_a_page_that_differs_is_refused(made, monkeypatch):
    monkeypatch.setattr(module, "run_session", lambda _, inputs: 7 * np.ones_like(inputs["x"]))
    with pytest.raises(CheckpointError):
        html_file(made(ImageSpec(1, 8, 8)), "page", NOTHING)


def test_all_evaluations_of_a_page_are_compared_in_one_session(made, monkeypatch):
    begun, real = [], module.session_of
    monkeypatch.setattr(module, "session_of", lambda *given: begun.append(given) or real(*given))
    html_file(made(ImageSpec(1, 8, 8), **{"sample.steps": 5}), "page", NOTHING)
    assert len(begun) == 1


def test_a_title_is_text_and_not_markup(made):
    page = html_file(made(ImageSpec(1, 8, 8)), "<img src=x onerror=alert(1)>", NOTHING).content.decode()
    assert "<img" not in page.split("<script", 1)[0]


def test_dynamic_thresholding_is_refused(made):
    with pytest.raises(UsageError, match="threshold"):
        html_file(made(ImageSpec(1, 8, 8), **{"sample.threshold": 0.9}), "page", NOTHING)


def test_a_runtime_that_cannot_be_had_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_OFFLINE", "1")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=rf"(?s)--runtime.*:\n.*  {SCRIPT}\n.*  {BINARY}$") as caught:
        web_runtime()
    assert "digits" not in str(caught.value)


def test_a_runtime_that_is_none_is_refused(tmp_path):
    (tmp_path / "some.tgz").write_bytes(b"no archive")
    for place in (tmp_path, tmp_path / "some.tgz", tmp_path / "missing"):
        with pytest.raises(UsageError, match=VERSION):
            web_runtime(place)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_runtime_that_is_damaged_is_refused(tmp_path, damage):
    whole, letters = tmp_path / "whole.tgz", random.Random(0)
    with tarfile.open(whole, "w:gz") as archive:
        for name in (SCRIPT, BINARY):
            about = tarfile.TarInfo(f"package/dist/{name}")
            about.size = 50_000
            archive.addfile(about, io.BytesIO(bytes(letters.choices(b"abcdefgh", k=about.size))))
    assert len(web_runtime(whole).binary) == 50_000
    content = bytearray(whole.read_bytes())
    place = len(content) // 5
    content[place:] = b"" if damage == "cut" else bytes(range(200)) * 2 + content[place + 400 :]
    (tmp_path / "some.tgz").write_bytes(content)
    with pytest.raises(UsageError, match=VERSION):
        web_runtime(tmp_path / "some.tgz")


def test_a_runtime_that_no_page_from_the_disk_can_load_is_refused(tmp_path):
    (tmp_path / BINARY).write_bytes(b"wasm")
    (tmp_path / SCRIPT).write_bytes(b"/*!\n * ONNX Runtime Web v1.22.0\n */")
    with pytest.raises(UsageError, match=r"1\.22.*1\.24"):
        web_runtime(tmp_path)
    (tmp_path / SCRIPT).write_bytes(b"/*!\n * ONNX Runtime Web v2.0.0\n */")
    assert web_runtime(tmp_path).binary == b"wasm"


def test_a_sampler_without_a_name_is_refused_where_it_chooses_nothing(tmp_path, capsys):
    for kind in ("diffusers", "html", "space", "hub"):
        assert main(["export", "run", "--to", kind, str(tmp_path / "x.html"), "--sampler"]) == 2
        said = capsys.readouterr().err
        assert "--sampler" in said and kind in said


def test_the_verb_writes_a_page(run, package, tmp_path, capsys):
    out = tmp_path / "digits.html"
    assert main(["export", str(run), "--to", "html", str(out), "--runtime", str(package)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    text = out.read_text()
    assert str(tmp_path) not in text and "http" not in text.replace("http-equiv", "").split("<script", 1)[0]
    assert main(["export", str(run), "--to", "html", str(tmp_path / "page.txt"), "--runtime", str(package)]) == 2
    assert main(["export", str(run), "--to", "html", str(out), "--runtime", str(tmp_path / "nothing")]) == 2
