"""Models to and from the Hub, by its real client against a stand-in for its HTTP API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import DataError, FromNoiseError, UsageError, WriteError
from fromnoise.run import Run
from fromnoise.run.hub import check_hub, downloaded, is_hub_id, upload

hub = pytest.importorskip("huggingface_hub")
CONSTANTS = pytest.importorskip("huggingface_hub.constants")
SHA = "0" * 39 + "1"


class StandIn(BaseHTTPRequestHandler):
    """One model, me/model; the token `reader` may not write."""

    def do_GET(self):
        path, server = unquote(urlsplit(self.path).path), self.server
        if "/resolve/" in path:
            name = path.split(SHA + "/", 1)[1]
            found = server.files.get(name)
            return self._answer(
                200 if found else 404, found or b"", {"X-Repo-Commit": SHA, "ETag": f'"{name.encode().hex()}"'}
            )
        if not server.made:
            return self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        names = [".gitattributes", *server.files]
        if "/tree/" in path:
            sizes = {name: len(server.files.get(name, b"")) for name in names}
            return self._answer(
                200, [{"type": "file", "path": name, "size": size, "oid": SHA} for name, size in sizes.items()]
            )
        siblings = [{"rfilename": name} for name in names]
        return self._answer(200, {"id": "me/model", "sha": SHA, "private": server.private, "siblings": siblings})

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, server = urlsplit(self.path).path, self.server
        server.asked.append(path)
        if "Bearer reader" in self.headers.get("Authorization", ""):
            return self._answer(403, {"error": "Forbidden"})
        if server.fails in path:
            return self._answer(400, {"error": "Bad Request"})  # which the client does not try again
        if path == "/api/repos/create":
            server.made, server.private = True, "private" in (json.loads(body).get("visibility"), *json.loads(body))
            return self._answer(200, {"url": f"{server.address}/me/model"})
        if path.endswith("/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{server.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._answer(200, {"transfer": "basic", "objects": objects})
        if "/preupload/" in path:
            kinds = [
                {"path": one["path"], "shouldIgnore": False, "oid": None,
                 "uploadMode": "lfs" if one["path"].endswith("safetensors") else "regular"}
                for one in json.loads(body)["files"]
            ]  # fmt: skip
            return self._answer(200, {"files": kinds})
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    server.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    server.files[value["path"]] = server.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    server.files.pop(value["path"])
            return self._answer(
                200, {"success": True, "commitOid": SHA, "commitUrl": f"{server.address}/me/model/commit/{SHA}"}
            )
        return self._answer(200, {"errors": [], "warnings": []})

    def do_PUT(self):
        self.server.large[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        return self._answer(200, {})

    def _answer(self, status, content, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    made.files, made.large, made.asked, made.made, made.private, made.fails = {}, {}, [], False, False, "nothing"
    made.address = f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def client(server, monkeypatch):
    """The client in this process, pointed at the stand-in."""
    monkeypatch.setattr(CONSTANTS, "ENDPOINT", server.address)
    monkeypatch.setattr(CONSTANTS, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("FROMNOISE_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "writer")
    return monkeypatch


def fromnoise(server, home, *words):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "FROMNOISE_OFFLINE")
    }
    environment |= {
        "HF_ENDPOINT": server.address,
        "HF_TOKEN": "writer",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "fromnoise", *words], env=environment, capture_output=True, text=True, check=False
    )


def test_a_model_is_uploaded_and_comes_back(server, tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "secret-place" / "digits")
    done = fromnoise(server, tmp_path / "home", "export", str(folder), "--to", "hub", "me/model", "--private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{server.address}/me/model" and server.private
    assert {"model_index.json", "README.md", "unet/diffusion_pytorch_model.safetensors"} <= set(server.files)
    assert not any("optimizer" in name for name in server.files)
    assert all(b"secret-place" not in content for content in server.files.values())
    done = fromnoise(server, tmp_path / "home", "import", "me/model", "--output_dir", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    one, other = (Run(place).sample(2) for place in (folder, tmp_path / "back"))
    assert (one.images == other.images).all()
    assert Run(tmp_path / "back").metadata["imported"]["from"] == "me/model"


def test_uploading_again_replaces_the_whole_of_an_export_and_nothing_else(server, client, tmp_path):
    (tmp_path / "README.md").write_text("# A model\n")
    server.made, server.files = True, {"fromnoise-export.json": b"{}", "stray": b"x"}
    check_hub("me/model", private=False)
    upload(tmp_path, "me/model", private=False)
    assert server.files == {"README.md": b"# A model\n"}
    server.files = {"weights.bin": b"theirs"}
    with pytest.raises(UsageError, match="not an export"):
        check_hub("me/model", private=False)
    server.files = {"fromnoise-export.json": b"{}"}
    with pytest.raises(UsageError, match="public"):
        check_hub("me/model", private=True)


@pytest.mark.parametrize("step", ["/preupload/", "/commit/"])
def test_an_upload_that_fails_half_way_changes_nothing_there(step, server, client, tmp_path):
    (tmp_path / "README.md").write_text("# A model\n")
    server.made, server.files, server.fails = True, {"fromnoise-export.json": b"{}"}, step
    refused(WriteError, lambda: upload(tmp_path, "me/model", private=False))
    assert server.files == {"fromnoise-export.json": b"{}"} and any(step in path for path in server.asked)
    server.fails = "nothing"
    upload(tmp_path, "me/model", private=False)
    assert server.files == {"README.md": b"# A model\n"}


def refused(kind, use):
    with pytest.raises(FromNoiseError) as caught:
        use()
    assert type(caught.value) is kind and "me/model" in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_hub_refuses_is_one_sentence(client, tmp_path):
    client.setenv("HF_TOKEN", "reader")
    refused(WriteError, lambda: upload(tmp_path, "me/model", private=False))
    client.setattr(CONSTANTS, "ENDPOINT", "http://127.0.0.1:9")
    refused(WriteError, lambda: check_hub("me/model", private=False))


def test_what_cannot_be_uploaded_is_refused_before_any_work(server, client, tmp_path):
    client.delenv("HF_TOKEN")
    client.setattr(hub, "get_token", lambda: None)
    with pytest.raises(UsageError, match="HF_TOKEN"):
        check_hub("me/model", private=False)
    client.setattr(CONSTANTS, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        check_hub("me/model", private=False)
    with pytest.raises(UsageError, match="OWNER/NAME"):
        check_hub("model", private=False)
    assert server.asked == []


def test_nothing_is_fetched_offline(server, client):
    client.setenv("FROMNOISE_OFFLINE", "1")
    with pytest.raises(DataError, match="me/model cannot be fetched from the Hub: FROMNOISE_OFFLINE is set"):
        downloaded("me/model")
    assert server.asked == []


@pytest.mark.parametrize(
    "name, is_one", [("a/b", True), ("a/b.c-d_e", True), ("a", False), ("../x", False), ("a/b/c", False)]
)
def test_names_of_the_hub(name, is_one):
    assert is_hub_id(name) == is_one


def test_a_model_that_is_not_on_the_hub_is_exit_3(client, tmp_path):
    assert main(["import", "me/model", "--output_dir", str(tmp_path / "run")]) == 3
    assert list(tmp_path.iterdir()) == [] and not Path("me").exists()
