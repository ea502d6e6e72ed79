"""Publishing, against a stand-in Hub on loopback: one commit or none, whatever goes wrong, and what is pulled works."""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import CommitInfo
from open_codesage.train.release import publish
from open_codesage.train.release.config import ExportConfig, PublishConfig
from open_codesage.train.release.export import main as export
from open_codesage.train.release.publish import TITLE, main
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

SCRIPTS = Path(__file__).parents[1] / "scripts"
TEXTS = ["return the larger of two numbers", "def larger(a, b):\n    return max(a, b)\n", "é🙂 變數 = 1\n" * 99, ""]
REPO = "user/model"
WRITES = ("/create", "/branch/", "/preupload/", "/batch", "/large/", "/commit/")

tiny = runpy.run_path(str(SCRIPTS / "export_tiny.py"))
StandInHub = runpy.run_path(str(Path(__file__).parents[1] / "stand_in_hub.py"))["StandInHub"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return export(ExportConfig(model=tiny["stage_one"](work / "model"), output=work / "hub"))


@pytest.fixture
def folder(exported, tmp_path):
    """A copy to change."""
    return Path(shutil.copytree(exported, tmp_path / "folder"))


@pytest.fixture
def hub(monkeypatch):
    """The Hub of this process, and no waiting between attempts."""
    with StandInHub() as hub:
        for name, value in (("ENDPOINT", hub.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_user")
        monkeypatch.setattr(publish, "WAITS", (0.01, 0.01, 0.01))
        monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
        yield hub


@pytest.fixture
def unchecked(monkeypatch):
    """Spares the check of the folder where the Hub is what is tested."""
    monkeypatch.setattr(publish, "_problems", lambda folder: [])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(hub, repo=REPO, revision="main"):
    found = dict(hub.repos[repo].at(revision).files)
    del found[".gitattributes"]
    return found


def writes(hub):
    return [request for request in hub.requests if request[0] != "GET" and any(part in request[1] for part in WRITES)]


def touch(folder):
    with (folder / "README.md").open("a") as card:
        card.write("\nOne more sentence.\n")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The folder of a BERT, which has no code."""
    work = tmp_path_factory.mktemp("native")
    encoders = runpy.run_path(str(SCRIPTS / "tiny_encoders.py"))
    source = encoders["write"]("bert", work / "model", TEXTS)
    return export(ExportConfig(source, work / "hub", base_model="somebody/encoder", base_license="mit"))


# One commit


def test_a_folder_becomes_one_commit_and_a_second_run_has_nothing_to_send(exported, hub, capsys):
    done = main(PublishConfig(exported, REPO))
    assert files(hub) == contents(exported)
    assert hub.repos[REPO].history() == ["initial commit", TITLE]
    assert hub.repos[REPO].refs["main"] == done.commit
    output = capsys.readouterr()
    (line,) = output.out.splitlines()
    assert f"13 sent, {done.url}, commit {done.commit}" in line
    assert done.url == f"{hub.url}/{REPO}/commit/{done.commit}"
    assert {bar.partition(":")[0].strip() for bar in re.split(r"[\r\n]", output.err)} - {""} == {"model.safetensors"}

    hub.requests.clear()
    assert main(PublishConfig(exported, REPO)) == done
    assert writes(hub) == []
    assert capsys.readouterr().out.startswith(f"Nothing left to send: {done.url} holds the folder")


OPEN = """
import sys, numpy
from sentence_transformers import SentenceTransformer
numpy.save(sys.argv[1], SentenceTransformer("user/model", device="cpu").encode(["merge two files"]))
"""


def test_the_folder_of_an_encoder_of_others_is_published_and_opened_without_code(native, hub, tmp_path):
    main(PublishConfig(native, REPO))
    assert files(hub) == contents(native)
    assert not [name for name in files(hub) if name.endswith(".py")]
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", OPEN, tmp_path / "found.npy"]
    subprocess.run(command, env=os.environ | environment, cwd=tmp_path, check=True)
    expected = SentenceTransformer(str(native), device="cpu").encode(["merge two files"])
    assert np.abs(np.load(tmp_path / "found.npy") - expected).max() < 1e-6


def test_only_what_differs_is_sent_and_what_an_earlier_model_left_is_removed(folder, hub, unchecked, capsys):
    main(PublishConfig(folder, REPO))
    old = {"pytorch_model.bin": b"0", "adapter_config.json": b"{}", "LICENSE": b"Apache", "images/loss.png": b"png"}
    repo = hub.repos[REPO]
    repo.commit("main", repo.refs["main"], "by hand", repo.files | old)
    hub.requests.clear()
    touch(folder)
    main(PublishConfig(folder, REPO))
    assert files(hub) == contents(folder) | {name: old[name] for name in ("LICENSE", "images/loss.png")}
    assert not [path for method, path in hub.requests if method == "PUT"]
    assert "1 sent, removed adapter_config.json, pytorch_model.bin" in capsys.readouterr().out
    assert repo.history() == ["initial commit", TITLE, "by hand", TITLE]


def test_a_dry_run_lists_and_checks_but_writes_nothing(folder, hub, unchecked, capsys):
    assert main(PublishConfig(folder, REPO, dry_run=True, revision="next")) is None
    assert not hub.repos
    output = capsys.readouterr().out
    for name, content in contents(folder).items():
        assert re.search(rf"^ +{len(content):,}  {name}$", output, flags=re.MULTILINE)
    assert "13 to send to user/model, a new one" in output

    main(PublishConfig(folder, REPO))
    hub.repos[REPO].files["old.py"] = b""
    touch(folder)
    hub.requests.clear()
    capsys.readouterr()
    main(PublishConfig(folder, REPO, dry_run=True, revision="next"))
    output = capsys.readouterr().out
    assert "1 to send to user/model\n" in output
    assert output.count("already there") == 12
    assert "to be removed  old.py" in output
    assert writes(hub) == []
    assert list(hub.repos[REPO].refs) == ["main"]


def test_private_is_private_or_refused(exported, hub, unchecked):
    main(PublishConfig(exported, REPO, private=True))
    main(PublishConfig(exported, "user/open"))
    assert hub.repos[REPO].private
    assert not hub.repos["user/open"].private
    main(PublishConfig(exported, REPO, private=True))
    with pytest.raises(ValueError, match="user/open is there and public"):
        main(PublishConfig(exported, "user/open", private=True))


def test_a_branch_is_made_from_main_which_stays(folder, hub, unchecked):
    first = main(PublishConfig(folder, REPO))
    touch(folder)
    second = main(PublishConfig(folder, REPO, revision="next"))
    assert hub.repos[REPO].refs == {"main": first.commit, "next": second.commit}
    assert files(hub, revision="next") == contents(folder)
    assert main(PublishConfig(folder, REPO, revision="next")) == second


def test_a_stranger_proposes_once_even_if_the_answer_is_lost(folder, hub, unchecked, monkeypatch, capsys):
    with pytest.raises(ValueError, match="nothing can be proposed"):
        main(PublishConfig(folder, REPO, create_pr=True))
    first = main(PublishConfig(folder, REPO))
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    touch(folder)
    hub.fail("POST", "/commit/", lose=True)
    proposal = main(PublishConfig(folder, REPO, create_pr=True))
    assert hub.repos[REPO].refs == {"main": first.commit, "refs/pr/1": proposal.commit}
    assert files(hub, revision="refs/pr/1") == contents(folder)
    assert proposal.url == f"{hub.url}/{REPO}/discussions/1"
    assert main(PublishConfig(folder, REPO, create_pr=True)) == proposal
    touch(folder)
    assert main(PublishConfig(folder, REPO, create_pr=True)).url.endswith("/discussions/2")


# What is refused before anything is sent


def _not_a_number(folder):
    weights = load_file(folder / "model.safetensors")
    weights["wte.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "pytorch_model.bin").touch(), "a pickle can run code"),
        (_not_a_number, "NaN or Inf"),
        (lambda folder: (folder / "README.md").write_text("# A model\n"), "names no license"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), r"tokenizer\.json cannot be opened"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
    ],
)
def test_a_folder_at_fault_is_not_sent(folder, hub, damage, problem):
    damage(folder)
    with pytest.raises(ValueError, match=problem):
        main(PublishConfig(folder, REPO))
    assert hub.requests == []


def test_a_card_that_the_hub_refuses_makes_no_repository(folder, hub, unchecked):
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("license: apache-2.0", "license: unheard-of"))
    with pytest.raises(ValueError, match=r"README.md: .*must be one of"):
        main(PublishConfig(folder, REPO))
    assert not hub.repos


@pytest.mark.parametrize(
    ("repo", "options", "problem"),
    [
        ("model", {}, "write USER/model"),
        ("user/a b", {}, "cannot be the name"),
        (REPO, {"create_pr": True, "revision": "next"}, "leave out"),
    ],
)
def test_wrong_options_are_not_sent(exported, hub, repo, options, problem):
    with pytest.raises(ValueError, match=problem):
        main(PublishConfig(exported, repo, **options))
    assert hub.requests == []


# What goes wrong on the way

ENDPOINTS = [
    ("GET", "/whoami-v2"),
    ("POST", "/validate-yaml"),
    ("GET", "/api/models/user/model$"),
    ("POST", "/repos/create"),
    ("GET", "/auth-check"),
    ("GET", "/tree/"),
    ("POST", "/preupload/"),
    ("POST", "/objects/batch"),
    ("PUT", "/large/"),
    ("POST", "/commit/"),
]


@pytest.mark.parametrize("how", [{"status": 503, "times": 2}, {"drop": True, "times": 2}, {"lose": True}], ids=str)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint[1])
def test_a_passing_fault_costs_an_attempt_only(exported, hub, unchecked, endpoint, how):
    fault = hub.fail(*endpoint, **how)
    main(PublishConfig(exported, REPO))
    assert fault.times == 0
    assert files(hub) == contents(exported)
    assert hub.repos[REPO].history() == ["initial commit", TITLE]


@pytest.mark.parametrize("how", [{"status": 500}, {"drop": True}], ids=str)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint[1])
def test_a_lasting_fault_leaves_nothing_half_done_and_the_next_run_finishes(exported, hub, unchecked, endpoint, how):
    fault = hub.fail(*endpoint, times=10**6, **how)
    with pytest.raises(OSError, match="run the same command again") as error:
        main(PublishConfig(exported, REPO))
    assert "\n" not in str(error.value)
    assert all(repo.history() == ["initial commit"] for repo in hub.repos.values())
    fault.times = 0
    main(PublishConfig(exported, REPO))
    assert files(hub) == contents(exported)
    assert hub.repos[REPO].history() == ["initial commit", TITLE]


def test_an_answer_that_takes_too_long_is_not_waited_for_and_makes_no_second_commit(
    exported, hub, unchecked, monkeypatch, capsys
):
    monkeypatch.setattr(publish, "SILENCE", 0.3)
    hub.fail("POST", "/commit/", delay=0.6)
    main(PublishConfig(exported, REPO))
    hub.closing.wait(0.6)
    assert "Timeout" in capsys.readouterr().out
    assert files(hub) == contents(exported)
    assert hub.repos[REPO].history() == ["initial commit", TITLE]


def test_a_commit_of_somebody_else_in_between_is_built_on(folder, hub, unchecked):
    main(PublishConfig(folder, REPO))
    touch(folder)
    repo, fault = hub.repos[REPO], hub.fail("POST", "/commit/", status=412, message="A commit has happened since.")
    repo.commit("main", repo.refs["main"], "by hand", repo.files | {"LICENSE": b"Apache"})
    main(PublishConfig(folder, REPO))
    assert fault.times == 0
    assert files(hub) == contents(folder) | {"LICENSE": b"Apache"}


def test_what_is_on_the_hub_is_compared_after_the_commit(exported, hub, unchecked, monkeypatch):
    create_commit = huggingface_hub.HfApi.create_commit

    def careless(api, *arguments, **options) -> CommitInfo:
        done = create_commit(api, *arguments, **options)
        hub.repos[REPO].files["README.md"] += b"!"
        del hub.repos[REPO].files["modules.json"]
        return done

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", careless)
    with pytest.raises(OSError, match=r"differs from the folder in README\.md, modules\.json"):
        main(PublishConfig(exported, REPO))


@pytest.mark.parametrize(
    ("token", "fault", "problem"),
    [
        (None, {}, "there is no token; make a token .* `hf auth login` or set HF_TOKEN"),
        ("hf_expired", {}, "does not accept the token; make a token"),
        ("hf_reader", {}, "the token of user may only read; make a token"),
        ("hf_stranger", {}, "may not do that; .* --create-pr .*rights to write under the namespace user"),
        ("hf_user", {"status": 402}, "free space"),
        ("hf_user", {"status": 403, "message": "Private repository storage limit reached"}, "free space .*limit"),
        ("hf_user", {"status": 404}, "check the name, and whose token it is"),
        ("hf_user", {"status": 413}, "export it as bfloat16"),
        ("hf_user", {"status": 429}, "wait some minutes"),
    ],
)
def test_refusals_are_explained_in_one_line(exported, hub, unchecked, monkeypatch, token, fault, problem):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN")
    if fault:
        hub.fail("POST", "/commit/", **fault)
    with pytest.raises(OSError, match=problem) as error:
        main(PublishConfig(exported, REPO))
    assert "\n" not in str(error.value)
    assert TITLE not in [title for repo in hub.repos.values() for title in repo.history()]


def test_without_a_hub_the_network_is_named(exported, hub, unchecked, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"no Hub at http://127\.0\.0\.1:9; look at network, proxy and HF_ENDPOINT"):
        main(PublishConfig(exported, REPO))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="HF_HUB_OFFLINE is set; unset it"):
        main(PublishConfig(exported, REPO))


def test_an_answer_that_is_no_hubs_is_named(exported, hub, unchecked, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "whoami", lambda api: json.loads("<html>Please log in</html>"))
    with pytest.raises(OSError, match=r"no Hub at .* look at network, proxy"):
        main(PublishConfig(exported, REPO))


# Processes of users: the command killed and run again, scripts that push, scripts that pull, the `hf` command


@pytest.fixture(scope="module")
def story(exported, tmp_path_factory):
    """One Hub and what users do with it, each in a process and with caches of its own."""
    work = tmp_path_factory.mktemp("story")
    (work / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    with StandInHub() as hub:

        def environment(name):
            home = {"PATH": os.environ["PATH"], "HOME": str(work / name), "OMP_NUM_THREADS": "1"}
            return home | hub.environment(work / name)

        def run(name, *command):
            done = subprocess.run(command, cwd=work, env=environment(name), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr[-3000:]
            return done

        upload = hub.fail("PUT", "/large/", lose=True, delay=300)
        # The check of the folder, which takes seconds of imports, is left to the second run.
        entry = (
            "from open_codesage.train import cli; from open_codesage.train.release import publish;"
            "publish._problems = lambda folder: []; cli.main()"
        )
        command = [sys.executable, "-c", entry, "publish", exported, "user/published"]
        with subprocess.Popen(command, cwd=work, env=environment("killed"), stderr=subprocess.DEVNULL) as killed:
            assert upload.reached.wait(120), "the upload was never reached"
            killed.send_signal(signal.SIGKILL)
        after_kill = SimpleNamespace(
            status=killed.returncode, history=hub.repos["user/published"].history(), uploaded=len(hub.large)
        )
        hub.requests.clear()
        pushed = run("pushed", sys.executable, SCRIPTS / "publish_push.py", exported)
        # The scripts go on with a repository of their own.
        second_run = hub.requests[: hub.requests.index(("POST", "/api/repos/create"))]
        blocked = SCRIPTS / "export_blocked.py"
        run("pulled", sys.executable, "-I", blocked, SCRIPTS / "publish_pull.py", "texts.json", "embeddings.npz")
        hf = Path(sys.executable).with_name("hf")
        run("cli", hf, "upload", "user/uploaded", exported, ".")
        run("cli", hf, "download", "user/published", "--local-dir", work / "downloaded")
        yield SimpleNamespace(hub=hub, work=work, after_kill=after_kill, pushed=pushed, second_run=second_run)


def test_a_kill_between_upload_and_commit_leaves_no_commit_and_the_next_run_finishes(story, exported):
    assert story.after_kill.status == -signal.SIGKILL
    assert story.after_kill.uploaded == 1
    assert story.after_kill.history == ["initial commit"]
    assert story.hub.repos["user/published"].history() == ["initial commit", TITLE]
    assert files(story.hub, "user/published") == contents(exported)
    assert ("POST", "/user/published.git/info/lfs/objects/batch") in story.second_run
    assert not [path for method, path in story.second_run if method == "PUT"], "the weights were there already"


def test_the_command_shows_one_summary_line(story):
    assert [line.partition(":")[0] for line in story.pushed.stdout.splitlines() if "user/published" in line] == [
        "Published"
    ]


@pytest.mark.parametrize("name", ["published", "auto", "masked", "sentence"])
def test_what_is_pulled_without_the_package_gives_the_embeddings(story, exported, name):
    expected = SentenceTransformer(str(exported), device="cpu", local_files_only=True).encode(TEXTS)
    embeddings = np.load(story.work / "embeddings.npz")
    assert np.abs(embeddings[f"{name}.auto"] - expected).max() < 1e-6
    if name == "masked":  # sentence-transformers pools what a plain repository gives it, and does not normalise.
        return
    pooled = embeddings[f"{name}.sentence"]
    assert np.abs(pooled / np.linalg.norm(pooled, axis=-1, keepdims=True) - expected).max() < 1e-6


@pytest.mark.parametrize("name", ["tuned-auto", "tuned-sentence"])
def test_what_users_train_and_push_without_the_package_is_self_contained(story, name):
    embeddings = np.load(story.work / "embeddings.npz")
    assert np.abs(embeddings["tuned"] - embeddings["published.auto"]).max() > 1e-3
    assert np.abs(embeddings[f"{name}.auto"] - embeddings["tuned"]).max() < 1e-6
    pushed = files(story.hub, f"user/{name}")
    assert {"attention_codesage.py", "configuration_codesage.py", "modeling_codesage.py"} <= pushed.keys()
    assert b"--" not in json.dumps(json.loads(pushed["config.json"])["auto_map"]).encode(), "code of another repository"


def test_the_hf_command_uploads_and_downloads_the_folder(story, exported):
    assert files(story.hub, "user/uploaded") == contents(exported)
    downloaded = contents(story.work / "downloaded")
    assert contents(exported).items() <= downloaded.items()
