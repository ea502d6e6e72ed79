"""Make the search set of `model_cards/tasks/held-out` out of a corpus: functions of packages that no training sees.

Contract: the same corpus and seed give the same files: a set in BEIR layout (`corpus.jsonl.gz`, `queries.jsonl.gz`,
`qrels.tsv`, `meta.json`), `SOURCES.tsv` with package, version, path and licence of every function, and the licence of
every package as it lies in the package itself.

    python benchmarks/held_out_task.py --corpus CORPUS --cache CACHE --output model_cards/tasks/held-out
"""

import argparse
import gzip
import io
import json
import random
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from open_codesage.train.corpus.corpus import Corpus

PACKAGES = (
    "apt/mbedtls", "apt/dnlib", "apt/restic", "apt/libcommons-lang3-java", "apt/guava-libraries", "npm/mongoose",
    "npm/shaka-player", "apt/composer", "pip/networkx", "pip/tornado", "deb/jekyll", "deb/ruby-asciidoctor",
    "npm/rxjs", "npm/fabric",
)  # fmt: skip
_LICENCE = re.compile(r"(?:.*/)?(?:LICEN[CS]E|COPYING|copyright)(?:[.-](?:txt|md|MIT))?", re.IGNORECASE)


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="downloaded packages of that corpus")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=60, help="functions of a language")
    parser.add_argument("--longest", type=int, default=2000, help="characters of a function at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = choose(args.corpus, args.pairs, args.longest, args.seed)
    args.output.mkdir(parents=True)
    write_rows(args.output, rows)
    folder = args.output / "licences"
    folder.mkdir()
    for unit in sorted({row["unit"] for row in rows}):
        (folder / f"{unit.replace('/', '+')}.txt").write_text(licence(args.cache, unit), encoding="utf-8")


def choose(corpus: Path, pairs: int, longest: int, seed: int) -> list[dict]:
    """Some functions of each language whose summaries and codes differ from all others."""
    functions = [row for row in Corpus(corpus).functions("held_out") if row["unit"] in PACKAGES]
    functions = [row for row in functions if len(row["code"]) <= longest]
    random.Random(seed).shuffle(functions)
    chosen: dict[str, list[dict]] = {}
    seen: set[str] = set()
    for row in functions:
        of_language = chosen.setdefault(row["language"], [])
        if len(of_language) < pairs and not {row["summary"].lower(), row["code"]} & seen:
            of_language.append(row)
            seen |= {row["summary"].lower(), row["code"]}
    return [row for language in sorted(chosen) for row in chosen[language]]


def write_rows(folder: Path, rows: list[dict]) -> None:
    """Write queries, documents, judgements and sources."""
    for name, text, language in (("corpus", "code", None), ("queries", "summary", "en")):
        lines = (
            json.dumps({"_id": f"{name[0]}{number}", "text": row[text], "language": language or row["language"]})
            for number, row in enumerate(rows)
        )
        # Without a time in its head the file is the same every time.
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    judgements = [f"q{number}\tc{number}\t1" for number in range(len(rows))]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judgements, ""]), encoding="utf-8")
    meta = {
        "protocol": ["pairwise", "full"],
        "metric": "mrr",
        "source": "documented functions of the packages in SOURCES.tsv, which are held out of the training corpus",
        "licence": "of each function that of its package: SOURCES.tsv, licences/",
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    columns = ("unit", "version", "licence", "path", "start_line", "end_line")
    sources = ["\t".join(("id", *columns))]
    sources += ["\t".join([f"c{number}", *(str(row[name]) for name in columns)]) for number, row in enumerate(rows)]
    (folder / "SOURCES.tsv").write_text("\n".join([*sources, ""]), encoding="utf-8")


def licence(cache: Path, unit: str) -> str:
    """The licence that lies in a package, the least deep if there are several."""
    registry, _, name = unit.partition("/")
    folder = cache / registry / name.replace("/", "+")
    found = [item for archive in sorted(folder.iterdir()) for item in members(archive)]
    if not found:
        raise ValueError(f"{folder}: no licence in its archives")
    path, text = min(found, key=lambda item: (item[0].count("/"), item[0]))
    return f"{unit}: {path}\n\n{text}"


def members(archive: Path) -> Iterator[tuple[str, str]]:
    """The licences in an archive: path, text."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if _LICENCE.fullmatch(name):
                    yield name, file.read(name).decode(errors="replace")
        return
    data = archive.read_bytes()
    if archive.suffix == ".deb":
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], capture_output=True, check=True).stdout
    elif archive.suffix not in (".gz", ".xz", ".bz2", ".tgz"):
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        for member in file:
            if member.isfile() and _LICENCE.fullmatch(member.name):
                yield member.name, file.extractfile(member).read().decode(errors="replace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
