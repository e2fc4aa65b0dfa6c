"""Hub models: which names are hub ids, what is fetched, and what each failure says."""

import errno
import json
import os
import socket
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import DownloadError, IsodepthError
from isodepth.sources import hub_snapshot, is_hub_id, is_hub_model_here

COMMIT = sha1(b"isodepth").hexdigest()
WANTED = {
    "config.json": b'{"n_layers": 3}',
    "model.safetensors": b"weights",
    "model.safetensors.index.json": b"{}",
    "tokenizer.model": b"pieces",
    "chat_template.jinja": b"{{ text }}",
    "merges.txt": b"a b",
}
UNWANTED = {
    "pytorch_model.bin": b"pickled",
    "modeling_tiny.py": b"raise RuntimeError",
    "README.md": b"read me",
    ".gitattributes": b"",
    "original/params.json": b"{}",
}
LETTERS = string.ascii_letters + string.digits


# names


@pytest.mark.parametrize(
    "name", ["google/gemma-3-270m", "Qwen/Qwen2.5-0.5B", "a/b", "HuggingFaceTB/SmolLM2-135M", "0x/a_b"]
)
def test_hub_ids(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", "/", "gpt2", "owner/", "/name", "owner//name", "owner/name/part", "../name", "./name"],
        *["owner/.name", ".owner/name", "~/name", "owner/..", "owner/-name", "owner\\name"],
        *["owner/na me", "owner/name\n", " owner/name", "https://huggingface.co/owner/name"],
    ],
)
def test_paths_and_other_names_are_no_hub_ids(name: str) -> None:
    assert not is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        *["owner/name..2", "owner/name--2", "owner/name.git", "owner/name-", "owner/name."],
        *["owner/naïve", "owner/" + 97 * "n"],
    ],
)
def test_names_that_the_hub_does_not_allow_are_no_hub_ids(name: str) -> None:
    with pytest.raises(HFValidationError):
        validate_repo_id(name)
    assert not is_hub_id(name)


@given(st.text(LETTERS, min_size=1, max_size=11), st.text(LETTERS + "_", min_size=1, max_size=11))
def test_two_plain_words_are_a_hub_id_and_one_or_three_are_not(owner: str, name: str) -> None:
    assert is_hub_id(f"{owner}/x{name}")
    assert not is_hub_id(name)
    assert not is_hub_id(f"{owner}/{name}/{name}")
    assert not is_hub_id(f"./{owner}/{name}")


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9é][\w.\-]{0,5}/[a-zA-Z0-9_.\-][\w.\-]{0,7}", fullmatch=True))
def test_whatever_is_a_hub_id_the_hub_s_own_library_takes(name: str) -> None:
    if is_hub_id(name):
        validate_repo_id(name)


# failures without a network


@pytest.fixture
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("revision", "shown"), [(None, "owner/tiny"), ("v1.3", "owner/tiny@v1.3"), (COMMIT, COMMIT)]
)
def test_offline_without_the_files_tells_what_was_tried(
    empty_hub_cache: Path, revision: str | None, shown: str
) -> None:
    with pytest.raises(DownloadError) as caught:
        hub_snapshot("owner/tiny", revision=revision)
    message, hint = caught.value.message, caught.value.hint
    assert message.startswith("hub model owner/tiny")
    assert shown in message
    assert "tried the hub's cache on this machine and then https://hub.invalid" in message
    assert "(switched off by HF_HUB_OFFLINE)" in message
    assert "\n" not in message
    assert hint is not None
    assert "unset HF_HUB_OFFLINE" in hint
    assert "local transformers folder or GGUF file" in hint
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", ["owner/name..2", "owner/name.git", "owner/" + 97 * "n"])
def test_a_name_that_the_hub_does_not_allow_is_refused_by_name(
    empty_hub_cache: Path, name: str
) -> None:
    with pytest.raises(IsodepthError, match=name):
        hub_snapshot(name)


def test_no_space_is_not_blamed_on_the_network(
    empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(IsodepthError, match=r"(?i)no space left") as caught:
        hub_snapshot("owner/tiny")
    assert caught.value.hint is not None
    assert "space" in caught.value.hint
    assert "network" not in caught.value.hint


# a hub of our own on this machine


@dataclass
class Stub:
    """A hub that answers as much as a download of one model needs, and notes what it was asked."""

    endpoint: str = ""
    asked: list[str] = field(default_factory=list)


def api_answer(repository: str, what: str, revision: str) -> tuple[int, dict[str, str], Any]:
    """Return the status, headers and JSON of one call to the hub's interface."""
    if repository == "owner/private":
        return 401, {"X-Error-Code": "RepoNotFound"}, {"error": "Invalid username or password."}
    if repository not in ("owner/tiny", "owner/gated", "google/gemma-2b"):
        return 404, {"X-Error-Code": "RepoNotFound"}, {"error": "Repository not found"}
    if revision not in ("main", COMMIT):
        return 404, {"X-Error-Code": "RevisionNotFound"}, {"error": "Invalid rev id"}
    names = [*WANTED, *UNWANTED]
    if what == "revision":
        return 200, {}, {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
    files = {**WANTED, **UNWANTED}
    tree = [
        {"type": "file", "path": n, "size": len(files[n]), "oid": sha1(files[n]).hexdigest()}
        for n in names
    ]
    return 200, {}, tree


def file_answer(repository: str, revision: str, name: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and bytes of one file."""
    if repository in ("owner/gated", "google/gemma-2b"):
        return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}, b""
    data = {**WANTED, **UNWANTED}[name]
    return 200, {"ETag": f'"{sha1(data).hexdigest()}"', "X-Repo-Commit": revision}, data


def handler_of(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            stub.asked.append(path)
            parts = path.strip("/").split("/")
            if "owner/cut" in path:
                self.close_connection = True
                return
            if parts[:2] == ["api", "models"]:
                status, headers, content = api_answer("/".join(parts[2:4]), parts[4], parts[5])
                data = json.dumps(content).encode()
                headers["Content-Type"] = "application/json"
            else:
                name = "/".join(parts[4:])
                status, headers, data = file_answer("/".join(parts[:2]), parts[3], name)
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    return Handler


Serve = Callable[[type[BaseHTTPRequestHandler]], str]


@pytest.fixture(scope="module")
def stub(serve: Serve) -> Stub:
    stub = Stub()
    stub.endpoint = serve(handler_of(stub))
    return stub


# the hub's library reads its settings once, when it is imported
CALLS = """
import json, sys
from isodepth.errors import IsodepthError
from isodepth.sources import hub_snapshot

outcomes = []
for repository, revision in json.loads(sys.argv[1]):
    try:
        folder, commit = hub_snapshot(repository, revision=revision)
        outcomes.append({"folder": str(folder), "commit": commit})
    except IsodepthError as error:
        outcomes.append({"type": type(error).__name__, "message": error.message, "hint": error.hint})
    except Exception as error:
        outcomes.append({"type": type(error).__name__, "message": str(error), "hint": None})
print(json.dumps(outcomes))
"""

# the same for what is asked without fetching anything
REVISIONS = (
    CALLS.replace("hub_snapshot", "hub_revision")
    .replace(
        "folder, commit = hub_revision(repository, revision=revision)",
        "found = hub_revision(repository, revision=revision)",
    )
    .replace(
        'outcomes.append({"folder": str(folder), "commit": commit})',
        'outcomes.append({"commit": found.commit, "files": found.files})',
    )
)

# which model names say; with code where the second of a pair is true
RESOLUTIONS = """
import json, sys
from isodepth.errors import IsodepthError
from isodepth.models import LoadingOptions, resolve_model

outcomes = []
for name, trusted in json.loads(sys.argv[1]):
    try:
        source = resolve_model(name, options=LoadingOptions(trust_remote_code=trusted))
        files = sorted(path.name for path in source.location.iterdir())
        outcomes.append({"name": source.name, "kind": source.kind, "digest": source.digest})
        outcomes[-1] |= {"files": files, "options": source.options.differences}
    except IsodepthError as error:
        outcomes.append({"type": type(error).__name__, "message": error.message, "hint": error.hint})
print(json.dumps(outcomes))
"""

Outcome = dict[str, Any]


def outcomes_of(
    calls: list[tuple[str, str | None]] | list[tuple[str, bool]],
    *,
    endpoint: str,
    home: Path,
    offline: bool = False,
    script: str = CALLS,
) -> list[Outcome]:
    """Return what `hub_snapshot` (or another script) does in a process with these settings of the hub's library."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING")) and not name.lower().endswith("_proxy")
    }
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-c", script, json.dumps(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def online(stub: Stub, home: Path) -> Callable[..., Outcome]:
    """What each call gave with the stub as the hub; all were made in one process."""
    calls = [
        ("owner/tiny", None),
        ("owner/tiny", COMMIT),
        ("owner/tiny", "v1.3"),
        ("owner/absent", None),
        ("owner/private", None),
        ("owner/gated", None),
        ("owner/cut", None),
    ]
    given_back = dict(zip(calls, outcomes_of(calls, endpoint=stub.endpoint, home=home), strict=True))
    return lambda repository, revision=None: given_back[repository, revision]


Online = Callable[..., Outcome]


def test_the_wanted_files_are_fetched_and_the_commit_is_told(online: Online) -> None:
    for revision in (None, COMMIT):
        outcome = online("owner/tiny", revision)
        assert outcome.get("commit") == COMMIT, outcome
        folder = Path(outcome["folder"])
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == WANTED


def test_pickled_weights_code_and_subfolders_are_never_asked_for(
    online: Online, stub: Stub, home: Path
) -> None:
    assert online("owner/tiny")["commit"] == COMMIT
    asked = {path.partition(f"/resolve/{COMMIT}/")[2] for path in stub.asked if "/resolve/" in path}
    assert set(WANTED) <= asked
    assert not asked & set(UNWANTED)
    assert not {path.name for path in home.rglob("*")} & {Path(name).name for name in UNWANTED}


def test_an_absent_model_is_told_with_its_name(online: Online) -> None:
    for repository in ("owner/absent", "owner/private"):
        outcome = online(repository)
        assert outcome["type"] == "DownloadError"
        assert f"hub model {repository} was not found (or is private)" in outcome["message"]
        assert "check the spelling and the revision" in outcome["hint"]
        assert "local transformers folder or GGUF file" in outcome["hint"]


def test_an_absent_revision_is_told_with_its_name(online: Online) -> None:
    outcome = online("owner/tiny", "v1.3")
    assert outcome["type"] == "DownloadError"
    assert "hub model owner/tiny@v1.3 was not found" in outcome["message"]
    assert "revision" in outcome["hint"]


def test_a_gated_model_is_told_with_the_way_in(online: Online) -> None:
    outcome = online("owner/gated")
    assert outcome["type"] == "DownloadError"
    assert "hub model owner/gated is gated" in outcome["message"]
    assert "ask for access" in outcome["hint"]
    assert "hf auth login" in outcome["hint"]
    assert "local transformers folder or GGUF file" in outcome["hint"]


def test_a_connection_that_breaks_off_is_a_download_error(online: Online, stub: Stub) -> None:
    outcome = online("owner/cut")
    assert outcome["type"] == "DownloadError", outcome
    assert "hub model owner/cut could not be fetched" in outcome["message"]
    assert stub.endpoint in outcome["message"]


def test_a_second_call_works_offline_from_the_hub_s_cache(
    online: Online, stub: Stub, home: Path
) -> None:
    first = online("owner/tiny")
    asked = len(stub.asked)
    again, other = outcomes_of(
        [("owner/tiny", None), ("owner/absent", None)], endpoint=stub.endpoint, home=home, offline=True
    )
    assert again == first
    assert len(stub.asked) == asked
    assert other["type"] == "DownloadError"
    assert "(switched off by HF_HUB_OFFLINE)" in other["message"]


def test_a_hub_that_does_not_answer_is_told_with_its_address(tmp_path: Path) -> None:
    with socket.socket() as bound:  # it has the port and does not listen
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        (outcome,) = outcomes_of([("owner/tiny", None)], endpoint=endpoint, home=tmp_path)
    assert outcome["type"] == "DownloadError"
    assert "hub model owner/tiny could not be fetched" in outcome["message"]
    assert endpoint in outcome["message"]
    assert "HF_HUB_OFFLINE" not in outcome["message"]
    assert "connect to the network" in outcome["hint"]


# models by their names


@pytest.fixture(scope="module")
def second_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("second-hub")


@pytest.fixture(scope="module")
def second_stub(serve: Serve) -> Stub:
    stub = Stub()
    stub.endpoint = serve(handler_of(stub))
    return stub


@pytest.fixture(scope="module")
def resolved(second_stub: Stub, second_home: Path) -> Callable[..., Outcome]:
    """What each name gave with a stub as the hub; all were resolved in one process, in this order."""
    calls = [
        ("owner/tiny", False),
        (f"owner/tiny@{COMMIT}", False),
        (f"owner/tiny@{COMMIT}(dtype=bfloat16)", False),
        ("owner/tiny(revision=main)", False),
        ("owner/tiny@v1.3", False),
        ("google/gemma-2b", False),
        ("gemma-2b", False),
        ("owner/tiny", True),
    ]
    found = outcomes_of(calls, endpoint=second_stub.endpoint, home=second_home, script=RESOLUTIONS)
    given_back = dict(zip(calls, found, strict=True))
    return lambda name, trusted=False: given_back[name, trusted]


def test_a_hub_model_is_identified_by_its_commit_however_the_revision_is_named(
    resolved: Callable[..., Outcome],
) -> None:
    for name in ("owner/tiny", f"owner/tiny@{COMMIT}", "owner/tiny(revision=main)"):
        outcome = resolved(name)
        assert outcome["kind"] == "hub"
        assert outcome["digest"] == f"hub:owner/tiny@{COMMIT}"
        assert outcome["files"] == sorted(WANTED)
        assert outcome["name"] == "owner/tiny"


def test_a_revision_and_options_stand_side_by_side(resolved: Callable[..., Outcome]) -> None:
    outcome = resolved(f"owner/tiny@{COMMIT}(dtype=bfloat16)")
    assert outcome["digest"] == f"hub:owner/tiny@{COMMIT} + bfloat16"
    assert outcome["name"] == "owner/tiny (bfloat16)"


def test_a_revision_behind_an_at_that_is_not_there_is_told(resolved: Callable[..., Outcome]) -> None:
    outcome = resolved("owner/tiny@v1.3")
    assert outcome["type"] == "DownloadError"
    assert "hub model owner/tiny@v1.3 was not found" in outcome["message"]


@pytest.mark.parametrize("name", ["google/gemma-2b", "gemma-2b"])
def test_a_gated_model_of_the_catalogue_is_told_what_to_do(
    name: str, resolved: Callable[..., Outcome]
) -> None:
    outcome = resolved(name)
    assert outcome["type"] == "DownloadError"
    assert "hub model google/gemma-2b is gated" in outcome["message"]
    assert "ask for access on the model's page" in outcome["hint"]
    assert "hf auth login" in outcome["hint"]


def test_code_is_fetched_only_when_it_is_asked_for_and_then_belongs_to_the_identity(
    resolved: Callable[..., Outcome], second_stub: Stub
) -> None:
    assert "modeling_tiny.py" not in resolved("owner/tiny")["files"]
    outcome = resolved("owner/tiny", True)
    assert outcome["files"] == sorted([*WANTED, "modeling_tiny.py"])
    assert outcome["digest"] != resolved("owner/tiny")["digest"]
    asked = {path.partition(f"/resolve/{COMMIT}/")[2] for path in second_stub.asked}
    assert asked & set(UNWANTED) == {"modeling_tiny.py"}


def test_whether_a_hub_model_is_here_is_seen_in_the_hubs_own_cache(
    online: Online, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert online("owner/tiny")["commit"] == COMMIT
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    assert is_hub_model_here("owner/tiny")
    for absent in ("owner/absent", "owner/gated", "owner/private", "owner/tin"):
        assert not is_hub_model_here(absent), absent
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert is_hub_model_here("owner/tiny")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert not is_hub_model_here("owner/tiny")


# without fetching


def test_a_commit_is_asked_for_without_fetching_a_file(serve: Serve, tmp_path: Path) -> None:
    stub = Stub()
    stub.endpoint = serve(handler_of(stub))
    calls = [
        ("owner/tiny", None),
        ("owner/tiny", COMMIT),
        ("owner/tiny", "v1.3"),
        ("owner/absent", None),
    ]
    first, at, revision, absent = outcomes_of(
        calls, endpoint=stub.endpoint, home=tmp_path, script=REVISIONS
    )
    assert first == at == {"commit": COMMIT, "files": [*WANTED, *UNWANTED]}
    assert "hub model owner/tiny@v1.3 was not found" in revision["message"]
    assert "hub model owner/absent was not found (or is private)" in absent["message"]
    assert not [path for path in stub.asked if "/resolve/" in path]
    assert not list(tmp_path.rglob("config.json"))


def test_where_the_hub_is_out_of_reach_its_cache_tells_the_commit(
    online: Online, stub: Stub, home: Path
) -> None:
    assert online("owner/tiny")["commit"] == COMMIT
    calls = [("owner/tiny", None), ("owner/absent", None)]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{bound.getsockname()[1]}"
        unreachable = outcomes_of(calls, endpoint=nobody, home=home, script=REVISIONS)
    offline = outcomes_of(calls, endpoint=stub.endpoint, home=home, offline=True, script=REVISIONS)
    for found, absent in (unreachable, offline):
        assert found == {"commit": COMMIT, "files": sorted(WANTED)}
        assert absent["type"] == "DownloadError"
    assert "(switched off by HF_HUB_OFFLINE)" in offline[1]["message"]
