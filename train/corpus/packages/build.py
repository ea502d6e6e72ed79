"""From a recipe of packages to a corpus folder: download, clean, compare, count, report.

Contract: `main(config)` writes the folder that `corpus.Corpus` reads, with `packages.yaml`, a recipe that names the
versions that were got, `report.json`, `report.md` with its plots, and `contamination.tsv`. Downloaded packages stay in
the cache. An interrupted run resumes at the package where it was: what is finished lies in a hidden folder beside the
output until the corpus is whole.

Invariant: the corpus depends on the packages in the cache, the evaluation sets and the config only, not on the number
of processes or on interruptions.
"""

import dataclasses
import importlib.util
import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from open_codesage.tokenization.languages import LANGUAGES, resolve_language

from ...common.checks import require_range, require_share
from ...common.console import say
from ...common.output import new_folder
from ...common.run import reset_unless_same
from ...common.workers import cores
from ..licences import is_selected
from .recipe import Package, read_packages, write_packages

_LIBRARIES = ("datasketch", "matplotlib")


@dataclass(frozen=True)
class CorpusConfig:
    """Build a corpus of software packages: download them, clean their sources, and leave out what is there twice.

    Attributes:
        recipe: YAML file with the packages.
        output: the corpus folder to write; it must not exist yet.
        cache: folder where downloaded packages are kept.
        licenses: SPDX names of the licenses that are taken; permissive stands for a group of them, all for every one.
        languages: languages to take; all of the recipe if none.
        decontaminate: folders of evaluation sets; what shares a function with them is left out.
        max_file_bytes: larger files are left out.
        test_share: share of the test files that are taken.
        package_share: the most that one package may bring of a language's training files, in bytes; of larger ones, the
            files without pairs go first.
        package_megabytes: up to this size the files of a package in a language are all taken.
        jobs: number of downloads at a time.
        num_proc: number of worker processes; one per core if none.
    """

    positional: ClassVar[tuple[str, ...]] = ("recipe",)

    recipe: Path
    output: Path
    cache: Path = Path("package-cache")
    licenses: tuple[str, ...] = ("permissive",)
    languages: tuple[str, ...] = ()
    decontaminate: tuple[str, ...] = ()
    max_file_bytes: int = 250_000
    test_share: float = 0.25
    package_share: float = 0.2
    package_megabytes: float = 30.0
    jobs: int = 4
    num_proc: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        require_share(self, "test_share", "package_share")
        require_range(self, "max_file_bytes", "jobs", "num_proc", at_least=1)
        if not self.licenses:
            raise ValueError("licenses is empty: name some, or say all")


def main(config: CorpusConfig) -> Path:
    """Write the corpus folder.

    Returns:
        The folder, `config.output`.

    Raises:
        ValueError: the output is there already; the recipe cannot be read, no package of it is selected, or none came;
            no package is held out; a library is missing.
    """
    if missing := [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]:
        raise ValueError(f"{', '.join(missing)} is not installed: `pip install 'open-codesage[corpus]'`")
    from .assemble import assemble
    from .download import download
    from .harvest import Rules, harvest
    from .report import write_report

    begin = time.perf_counter()
    packages, other_licence = _select(config)
    came, missing_packages = download(packages, config.cache, config.jobs)
    if not came:
        reasons = Counter(error.reason for error in missing_packages.values())
        raise ValueError(f"none of {len(packages)} packages came ({_listed(reasons)}): {_first(missing_packages)}")
    if missing_packages:
        reasons = Counter(error.reason for error in missing_packages.values())
        say(f"{len(missing_packages)} of {len(packages)} packages did not come: {_listed(reasons)}")
    with new_folder(config.output) as folder:
        work = _work_folder(config, [downloaded.package for downloaded in came])
        rules = Rules(config.licenses, config.max_file_bytes, config.test_share, _references(config, work))
        harvested, failed = harvest(came, work / "packages", rules, config.num_proc or cores())
        if not harvested:
            raise ValueError(f"no source file in {len(came)} packages: {_first(failed)}")
        counts, records = assemble(harvested, folder, config.package_share, int(config.package_megabytes * 1e6))
        write_packages(
            folder / "packages.yaml",
            [one.source.package for one in harvested],
            "The packages of this corpus, in the versions that were got.",
        )
        report = {
            "languages": {language: vars(count) for language, count in counts.items()},
            "held_out": {
                "units": len({record["unit"] for record in records if record["held_out"]}),
                "pairs": sum(count.held_out for count in counts.values()),
            },
            "packages": {
                "in_recipe": len(packages) + len(other_licence),
                "other_licence": other_licence,
                "missing": {unit: f"{error.reason}: {error}" for unit, error in missing_packages.items()},
                "without_files": failed,
                "records": records,
            },
            "settings": _settings(config),
        }
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        write_report(folder)
    shutil.rmtree(work)
    say(_summary(report, config, time.perf_counter() - begin))
    return config.output


def _select(config: CorpusConfig) -> tuple[list[Package], list[str]]:
    """The packages of the recipe with selected licences and languages, and those of other licences."""
    packages, other = [], []
    for package in read_packages(config.recipe):
        languages = [resolve_language(language) for language in package.languages]
        wanted = tuple(language for language in languages if not config.languages or language in config.languages)
        if not is_selected(package.license, config.licenses):
            other.append(package.unit)
        elif wanted:
            packages.append(dataclasses.replace(package, languages=wanted))
    if not packages:
        raise ValueError(
            f"no package of {config.recipe} is selected ({len(other)} have other licenses than "
            f"{', '.join(config.licenses)}): choose other licenses or languages"
        )
    return packages, other


def _work_folder(config: CorpusConfig, packages: Sequence[Package]) -> Path:
    """The folder of what is finished; one that was made for another corpus is removed."""
    output = config.output.absolute()
    settings = {"corpus": _settings(config), "packages": [dataclasses.asdict(package) for package in packages]}
    return reset_unless_same(output.with_name(f".{output.name}.work"), settings)


def _settings(config: CorpusConfig) -> dict[str, Any]:
    """What the corpus depends on besides the packages, without the names of folders."""
    names = ("licenses", "languages", "max_file_bytes", "test_share", "package_share", "package_megabytes")
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    settings["decontaminate"] = [Path(folder).name for folder in config.decontaminate]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _references(config: CorpusConfig, work: Path) -> Path | None:
    """The index of the evaluation sets, made once."""
    if not config.decontaminate:
        return None
    from .contamination import References, read_references

    path = work / "references.npz"
    if not path.is_file():
        references = References.of(read_references(map(Path, config.decontaminate)))
        aside = path.with_name("partial.npz")
        references.save(aside)
        aside.replace(path)
        say(f"decontaminate: {references.looked_for:,} programs and functions of evaluation sets are looked for")
    return path


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))


def _first(reasons: Mapping[str, object]) -> str:
    return next((f"{unit}: {reason}" for unit, reason in reasons.items()), "none was asked for")


def _summary(report: dict[str, Any], config: CorpusConfig, seconds: float) -> str:
    languages = report["languages"].values()
    total = {name: sum(counts[name] for counts in languages) for name in ("files", "bytes", "pairs", "contaminated")}
    return (
        f"corpus: {total['files']:,} files, {total['bytes'] / 1e6:.1f} MB, {total['pairs']:,} pairs in "
        f"{len(languages)} of {len(LANGUAGES)} languages, {report['held_out']['pairs']:,} pairs of "
        f"{report['held_out']['units']} packages held out, {seconds:.0f} s -> {config.output}"
    )
