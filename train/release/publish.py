"""Publish: from a Hub folder to one commit of a model repository.

Contract: when `main` returns, the revision on the Hub holds every file of the folder, by hash, and nothing of an
earlier model that a library would read beside them. Other files of the repository (license, images) stay as they are.
A folder that `folder.check_folder` finds fault with is never sent.

Invariants: all files change in one commit, made on the head that the folder was compared with. All that may come to be
before it is an empty repository, or a branch equal to main, where there was none. So an error, a lost answer or a kill
leaves either the old files or the new ones. Every attempt begins with the comparison, so the same command run again
sends what is missing, and says so when nothing is.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

from ..common import tree
from ..common.console import say
from ..common.hub_errors import HUB_ERRORS, LOG_IN, explain, may_pass, reason
from .config import PublishConfig

TITLE = "Publish the model with open-codesage"
WAITS = (1, 3, 9)  # Seconds between attempts. Within one, huggingface_hub repeats comparisons and uploads itself.
SILENCE = 60.0  # Seconds without a byte after which a connection counts as lost. huggingface_hub would wait for ever.


class Publication(NamedTuple):
    """Where the folder is: address of the commit or of the pull request, and the commit's id."""

    url: str
    commit: str


class Difference(NamedTuple):
    """What a commit has to do, as paths: files to add or replace, and files of an earlier model to remove."""

    changed: list[str]
    stale: list[str]


def main(config: PublishConfig) -> Publication | None:
    """Publish the folder.

    Returns:
        Where it is; None after a dry run.

    Raises:
        ValueError: the options, the folder or its card are at fault; no file has been sent.
        OSError: the Hub cannot be reached, or refuses; the message says what to do.
    """
    if problems := _problems(config.folder):
        raise ValueError("this folder cannot be published:\n  " + "\n  ".join(problems))
    waits = iter(WAITS)
    while True:
        try:
            with _limited_silence():
                return _publish(config)
        except HUB_ERRORS as error:
            # huggingface_hub wraps what happened to an upload in a RuntimeError.
            cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
            wait = next(waits, None) if may_pass(cause) else None
            if wait is None:
                raise OSError(explain(cause, config.repo)) from error
            say(f"Publish: {reason(cause)}; trying again in {wait} s")
            time.sleep(wait)


def _problems(folder: Path) -> list[str]:
    """What `check_folder` finds, without the bars of opening the model: the only bar is that of the upload."""
    from ..common.quiet import quiet_loading
    from .check import check_folder

    with quiet_loading():
        return check_folder(folder)


def _publish(config: PublishConfig) -> Publication | None:
    """Compare, commit what differs, compare again."""
    api = HfApi()
    author = _author(api)
    _check_card(api, config.folder / "README.md")
    head = _head(api, config)
    files = {path.relative_to(config.folder).as_posix(): path for path in sorted(tree.files(config.folder))}
    difference = _difference(api, config, head) if head else Difference(list(files), [])
    amount = f"{len(files)} files, {sum(path.stat().st_size for path in files.values()) / 1e6:,.1f} MB"
    if head is None or config.dry_run:
        for name, path in files.items():
            say(f"{path.stat().st_size:>15,}  {name}{'' if name in difference.changed else '  (already there)'}")
        for name in difference.stale:
            say(f"{'to be removed':>15}  {name}")
        say(f"Dry run: {amount}, {len(difference.changed)} to send to {config.repo}{'' if head else ', a new one'}")
        return None
    if not any(difference):
        here = Publication(f"{api.endpoint}/{config.repo}/commit/{head}", head)
        say(f"Nothing left to send: {here.url} holds the folder ({amount})")
        return here
    if config.create_pr and (proposal := _proposal(api, config, author)):
        say(f"Nothing left to send: {proposal.url} proposes the folder ({amount})")
        return proposal
    additions = [CommitOperationAdd(name, files[name]) for name in difference.changed]
    removals = [CommitOperationDelete(name) for name in difference.stale]
    target: dict[str, Any] = {"revision": config.revision, "create_pr": config.create_pr, "parent_commit": head}
    try:
        # Not upload_folder: with hf_xet it makes several commits of a large folder.
        done = api.create_commit(config.repo, [*additions, *removals], commit_message=TITLE, **target)
    except ValueError as error:
        raise OSError(f"{config.repo}: the Hub does not take a file ({reason(error)})") from error
    if any(left := _difference(api, config, done.pr_revision or done.oid)):
        names = ", ".join([*left.changed, *left.stale])
        raise OSError(f"{done.commit_url} was made but differs from the folder in {names}: look at it on the Hub")
    removed = f", removed {', '.join(difference.stale)}" if difference.stale else ""
    publication = Publication(done.pr_url or done.commit_url, done.oid)
    say(f"Published: {amount}, {len(additions)} sent{removed}, {publication.url}, commit {done.oid}")
    return publication


def _author(api: HfApi) -> str:
    """Whose token it is; refuses one that may only read."""
    account = api.whoami()
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise PermissionError(f"the token of {account['name']} may only read; {LOG_IN}")
    return str(account["name"])


def _check_card(api: HfApi, card: Path) -> None:
    """Let the Hub read the card's metadata before a repository is made for it, not after."""
    content = {"content": card.read_text(encoding="utf-8"), "repoType": "model"}
    response = get_session().post(f"{api.endpoint}/api/validate-yaml", json=content)
    if response.status_code == 400:
        said = "; ".join(error["message"] for error in response.json().get("errors", []))
        raise ValueError(f"{card}: the Hub does not accept the metadata of the card: {said}")
    hf_raise_for_status(response)


def _head(api: HfApi, config: PublishConfig) -> str | None:
    """The commit to build on, of a repository and a branch that are made if need be; a dry run makes nothing."""
    repository = _info(api, config.repo)
    if repository is None:
        if config.create_pr:
            raise ValueError(f"{config.repo} is not there, so nothing can be proposed to it: leave out create_pr")
        if config.dry_run:
            return None
        api.create_repo(config.repo, private=config.private or None, exist_ok=True)
        repository = api.model_info(config.repo)
    if config.private and not repository.private:
        raise ValueError(f"{config.repo} is there and public: make it private in its settings, or leave out private")
    if not config.create_pr:
        api.auth_check(config.repo, write=True)
    if config.revision is None:
        return str(repository.sha)
    branch = _info(api, config.repo, config.revision)
    if branch is None and not config.dry_run:
        api.create_branch(config.repo, branch=config.revision, revision=repository.sha, exist_ok=True)
        branch = api.model_info(config.repo, revision=config.revision)
    # A dry run compares with the commit that the branch would begin at.
    return str((branch or repository).sha)


def _info(api: HfApi, repo: str, revision: str | None = None) -> Any:
    try:
        return api.model_info(repo, revision=revision)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None


def _difference(api: HfApi, config: PublishConfig, revision: str) -> Difference:
    from ..common.model_weights import PICKLES

    found = api.verify_repo_checksums(config.repo, revision=revision, local_dir=config.folder)
    read_by_libraries = (*PICKLES, ".safetensors", ".onnx", ".onnx.data", ".json", ".py")
    return Difference(
        changed=sorted([*found.extra_paths, *(mismatch["path"] for mismatch in found.mismatches)]),
        stale=[name for name in found.missing_paths if name.endswith(read_by_libraries) and _is_of_a_model(name)],
    )


def _is_of_a_model(name: str) -> bool:
    """Whether a file stands where libraries look for parts of a model; other folders are the user's."""
    folder, _, _ = name.rpartition("/")
    return folder in ("", "onnx") or bool(re.fullmatch(r"\d+_\w+", folder))


def _proposal(api: HfApi, config: PublishConfig, author: str) -> Publication | None:
    """An open pull request of an earlier run whose answer was lost."""
    kind: dict[str, Any] = {"discussion_type": "pull_request", "discussion_status": "open"}
    for discussion in api.get_repo_discussions(config.repo, author=author, **kind):
        reference = f"refs/pr/{discussion.num}"
        if discussion.title == TITLE and not any(_difference(api, config, reference)):
            return Publication(discussion.url, str(api.model_info(config.repo, revision=reference).sha))
    return None


@contextmanager
def _limited_silence() -> Iterator[None]:
    session = get_session()
    before, session.timeout = session.timeout, SILENCE
    try:
        yield
    finally:
        session.timeout = before
