"""Damaged inputs by the thousand: none may hang, crash or be lost without a reason.

    python benchmarks/hostile.py [KIND ...] [--count 50000] [--seconds 3600] [--source FOLDER ...] [--seed 0]

What strangers give is damaged by chance: bytes are cut, repeated, spliced and replaced, values of JSON and YAML become
absurd. Each kind goes the way that it goes in the package, and what comes back is checked:

- `sources`: files of every language (the test fixtures, and those of `--source`) are decoded, their identifiers and
  functions found and filtered, as in `extract`. Spans are in order and spell the name, lines lie inside the file.
- `archives`: wheels and tar files of every codec are read as in `corpus`: to the end, or the package is damaged.
- `recipes`: YAML is read as by `--config`: a mapping, or one line that says why not.
- `models`: folders are looked at as before a model is opened. One that is sound opens and encodes, or is refused by the
  library with an error of the known kinds; a pickle that lies in it is never opened.

Outcomes are counted by language, codec or file. The program fails when an input is lost with its process, raises any
other error, or breaks a check. An input depends on the seed and its number only.
"""

import argparse
import bz2
import copy
import gzip
import io
import json
import lzma
import os
import pickle
import random
import resource
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice, tee
from pathlib import Path
from typing import Any, NamedTuple

from open_codesage.tokenization.filters import rejection_reason
from open_codesage.tokenization.functions import extract_functions
from open_codesage.tokenization.identifiers import find_identifiers
from open_codesage.tokenization.languages import LANGUAGES, language_of_path
from open_codesage.tokenization.source import Unparsable, decode
from open_codesage.train.common.config import ConfigError, load_config
from open_codesage.train.common.model_folder import faults
from open_codesage.train.common.model_weights import LOADING_ERRORS
from open_codesage.train.common.workers import map_in_workers
from open_codesage.train.corpus.extract import ExtractConfig
from open_codesage.train.corpus.packages import archives
from open_codesage.train.corpus.packages.download import Downloaded
from open_codesage.train.corpus.packages.recipe import Package
from open_codesage.train.corpus.sources import SourceFile

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "languages"
RECIPES = Path(__file__).parents[1] / "train" / "recipes"
LARGEST = 12_000
"""Bytes of a file that is damaged: longer ones cost time and meet no other code."""
TOKENS = (b"{", b"}", b"(", b")", b"[", b"<", b'"', b"'", b"`", b"/*", b"*/", b"//", b"#", b"\\", b"<?php", b"=begin\n")
TOKENS += (b'"""', b"<<A", b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\t", b"\xe2\x80\xa8")
TOKENS += (
    "名".encode(),
    "😀".encode(),
    b"@",
    b"$",
    b"def ",
    b"class ",
    b"function ",
    b"return ",
    b"#if 0\n",
    b"template<",
)


class Damaged(NamedTuple):
    """A file to try: its language, codec or name, and its bytes."""

    language: str
    data: bytes


def damage(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damage a file in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        to = min(len(data), at + chance.randint(0, 400))
        token = chance.choice(TOKENS)
        match chance.randrange(8):
            case 0:  # a piece is gone
                data = data[:at] + data[to:]
            case 1:  # the end is gone
                data = data[:at]
            case 2:  # a piece again, and again
                data = data[:at] + data[at:to] * chance.choice((2, 3, 50)) + data[to:]
            case 3:  # a piece of another file, maybe of another language
                other = chance.choice(others)
                begin = chance.randint(0, len(other))
                data = data[:at] + other[begin : begin + chance.randint(1, 400)] + data[at:]
            case 4:
                data = data[:at] + token + data[to:]
            case 5:
                data = data[:at] + token * chance.choice((10, 1_000, 20_000)) + data[at:]
            case 6:  # no line ends
                data = data[:at] + data[at:].replace(b"\n", b" ")
            case _:  # any bytes
                data = data[:at] + chance.randbytes(chance.randint(1, 50)) + data[at:]
    return data


def make(seeds: dict[str, list[bytes]], count: int, seed: int) -> Iterator[Damaged]:
    """Yield damaged files, language by language in turn; each depends on the seed and its number only."""
    everything = [data for files in seeds.values() for data in files]
    languages = sorted(seeds)
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        language = languages[number % len(languages)]
        yield Damaged(language, damage(chance, chance.choice(seeds[language]), everything))


def attempt(file: Damaged) -> str:
    """Do what the package does with a file; returns what became of it, "fault: …" if that is not as promised."""
    try:
        text = decode(file.data)
        functions = extract_functions(text, file.language)
        lines = text.count("\n") + text.count("\r") - text.count("\r\n") + 1
        for function in functions:
            rejection_reason(function, file.language)
            if not 1 <= function.start_line <= function.end_line <= lines:
                return f"fault: function {function.name} at lines {function.start_line} to {function.end_line}"
        end = 0
        for identifier in find_identifiers(text, file.language):
            if identifier.start < end or text[identifier.start : identifier.end] != identifier.name:
                return f"fault: identifier {identifier}"
            end = identifier.end
    except Unparsable as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 (any other error is what is looked for)
        return f"fault: {type(error).__name__}: {error}"
    return "used"


# Archives.

ARCHIVED = "def count(items):\n    return sum(1 for item in items if item.is_ready and item.is_wanted)\n"
LIMITS = archives.Limits(members=200, bytes=16 << 20, header=1 << 16)
CODECS = {
    ".tar": bytes,
    ".tar.gz": lambda data: gzip.compress(data, mtime=0),
    ".tar.xz": lzma.compress,
    ".tar.bz2": bz2.compress,
    ".tar.lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


def sound_archives() -> dict[str, list[bytes]]:
    """Return small archives by suffix: of files, folders, links, long names and attributes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name in ("spam/a.py", "spam/b.py", "spam/c.js.map"):
            wheel.writestr(zipfile.ZipInfo(name), ARCHIVED * 5)
    tars = []
    for style in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=style) as archive:
            for name in ("spam/a.py", "spam/" + "long" * (20 if style == tarfile.USTAR_FORMAT else 40) + ".py"):
                header = tarfile.TarInfo(name)
                header.size = len(ARCHIVED)
                archive.addfile(header, io.BytesIO(ARCHIVED.encode()))
            link = tarfile.TarInfo("spam/link.py")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        tars.append(made.getvalue())
    return {".whl": [packed.getvalue()]} | dict.fromkeys(CODECS, tars)


def make_archives(count: int, seed: int) -> Iterator[Damaged]:
    """Yield damaged archives: of a tar file either the stream is damaged, or what it holds."""
    seeds = sound_archives()
    everything = [data for files in seeds.values() for data in files]
    for number in range(count):
        chance = random.Random(f"archive {seed} {number}")
        suffix = sorted(seeds)[number % len(seeds)]
        data, pack = chance.choice(seeds[suffix]), CODECS.get(suffix, bytes)
        if chance.random() < 0.5:
            yield Damaged(suffix, pack(flip(chance, data, everything)))
        else:
            yield Damaged(suffix, flip(chance, pack(data), everything))


def flip(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Damage binary data: some bytes, or as a text is damaged."""
    if chance.random() < 0.3:
        return damage(chance, data, others)
    content = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.choice((0, 255, 128, chance.randrange(256)))
    return bytes(content)


def attempt_archive(file: Damaged) -> str:
    """Read an archive, as the process for it does; returns what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"spam{file.language}"
        path.write_bytes(file.data)
        one = Downloaded(Package("pip", "spam", ("python",), "MIT", version="1", source_maps=True), (path,))
        try:
            found = list(archives._read(archives._Reading(one, 250_000, LIMITS)))
        except archives.DamagedArchive:
            return "damaged"
        except Exception as error:  # noqa: BLE001
            return f"fault: {type(error).__name__}: {error}"
        if any(isinstance(one, SourceFile) and not one.path.startswith("pip/spam/") for one in found):
            return "fault: a path outside"
        return "read"


# Recipes.

YAML = (
    b"&a ",
    b"*a",
    b"<<: *a",
    b"[",
    b"{",
    b"- ",
    b"? ",
    b": ",
    b"!!int ",
    b"!!python/object:os.system ",
    b"|\n",
    b"'",
)
LAUGHS = b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (one + 1, one + 1, b",".join([b"*%c" % one] * 8)) for one in b"abcdefgh"
)


def make_recipes(count: int, seed: int) -> Iterator[Damaged]:
    """Yield damaged recipes, made of those of the package."""
    seeds = [path.read_bytes()[:1500] for path in sorted(RECIPES.glob("*.yaml"))] + [LAUGHS]
    for number in range(count):
        chance = random.Random(f"recipe {seed} {number}")
        data = damage(chance, chance.choice(seeds), seeds)[:6_000]
        for _ in range(chance.randint(0, 4)):
            at, token = chance.randint(0, len(data)), chance.choice(YAML)
            data = data[:at] + token * chance.choice((1, 1, 1, 100)) + data[at:]
        yield Damaged("yaml", data)


def attempt_recipe(file: Damaged) -> str:
    """Read a recipe and make a config of it; returns what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_bytes(file.data)
        try:
            load_config(ExtractConfig, ["--config", str(path), "--output", folder])
        except ConfigError as error:
            return "refused" if len(str(error)) < 2000 else "fault: a long message"
        except Exception as error:  # noqa: BLE001
            return f"fault: {type(error).__name__}: {error}"
    return "read"


# Model folders.

VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 2.5, 10**9, 10**30, float("nan"), "", "x", "../../x", "/etc/passwd")
VALUES += ("a" * 10_000, [], {}, [[[]]], {"a": {"b": 1}}, "torch.load", "somebody/evil", "codesage", "bert", "t5")
VALUES += ("sentence_transformers.base.modules.module.torch", "sentence_transformers.models.Router", ["mean"] * 100)
KEYS = ("attn_implementation", "auto_map", "quantization_config", "num_hidden_layers", "max_seq_length", "model_kwargs")
KEYS += ("transformers_weights", "tokenizer_class", "vocab_file", "types", "path", "type", "truncation", "padding")
KEYS += ("adapter", "architectures", "dtype", "tie_word_embeddings", "id2label", "added_tokens_decoder", "prompts")
ADDED = ("sentence_roberta_config.json", "adapter_config.json", "processor_config.json", "special_tokens_map.json")
ADDED += ("model.safetensors.index.json", "generation_config.json", "added_tokens.json", "1_Pooling/router_config.json")


@cache
def sound_model() -> dict[str, bytes]:
    """Return the files of a small sentence-transformers folder, with a trap for who opens its pickle."""
    from open_codesage.modeling import CodeSageConfig, CodeSageModel
    from open_codesage.tokenization.tokenizer import wrap_tokenizer
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["<|endoftext|>", "<pad>", "<mask>", "x", "y"])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with tempfile.TemporaryDirectory() as folder:
        CodeSageModel(
            CodeSageConfig(vocab_size=16, max_position_embeddings=16, pad_token_id=1, **sizes)
        ).save_pretrained(folder)
        wrap_tokenizer(tokenizer, 16).save_pretrained(folder)
        modules = [Transformer(folder), Pooling(8, "mean"), Normalize()]
        SentenceTransformer(modules=modules, device="cpu").save(f"{folder}/model", create_model_card=False)
        root = Path(folder) / "model"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Trap(NamedTuple):
    """Makes a folder when it is unpickled."""

    folder: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def make_models(count: int, seed: int) -> Iterator[Damaged]:
    """Yield the file of a model folder that is damaged, or added."""
    files = sound_model()
    names = sorted(name for name in files if name.endswith(".json"))
    for number in range(count):
        chance = random.Random(f"model {seed} {number}")
        name = chance.choice([*names, *names, *ADDED, "model.safetensors"])
        data = files.get(name, b"{}")
        if name == "model.safetensors" or chance.random() < 0.3:
            yield Damaged(name, flip(chance, data, [*files.values()]))
        else:
            content = json.loads(data)
            for _ in range(chance.randint(1, 3)):
                change(chance, content)
            yield Damaged(name, json.dumps(content).encode())


def change(chance: random.Random, content: Any) -> None:
    """Change a value of JSON somewhere, or take a key away, or add one."""
    while True:
        places = (
            list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else []
        )
        inner = [content[place] for place in places if isinstance(content[place], dict | list) and content[place]]
        if not inner or chance.random() < 0.5:
            break
        content = chance.choice(inner)
    if isinstance(content, dict):
        key = chance.choice([*content, *KEYS])
        if key in content and chance.random() < 0.2:
            del content[key]
        else:
            content[key] = copy.deepcopy(chance.choice(VALUES))
    elif content:
        content[chance.randrange(len(content))] = copy.deepcopy(chance.choice(VALUES))


def attempt_model(file: Damaged) -> str:
    """Look at a model folder, and open it if it is sound; returns what became of it."""
    from open_codesage.train.retrieval.encoder import open_sentence_model  # takes long, and the others do without

    with tempfile.TemporaryDirectory() as place:
        folder, sprung = Path(place) / "model", Path(place) / "sprung"
        for name, data in {**sound_model(), file.language: file.data}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
        try:
            if found := faults(folder):
                return "refused" if all(len(fault) < 4000 for fault in found) else "fault: a long message"
            open_sentence_model(str(folder)).encode(["x y"])
        except LOADING_ERRORS:
            return "fault: a pickle was opened" if sprung.exists() else "refused by the library"
        except Exception as error:  # noqa: BLE001
            return f"fault: {type(error).__name__}: {error}"
        return "fault: a pickle was opened" if sprung.exists() else "opened"


def read_seeds(folders: list[Path], most: int) -> dict[str, list[bytes]]:
    """Return real files by language."""
    seeds: dict[str, list[bytes]] = {language: [] for language in LANGUAGES}
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        random.Random(0).shuffle(paths)
        for path in paths:
            language = language_of_path(path.name) if path.name != "identifiers.txt" else None
            if language and len(seeds[language]) < most and path.stat().st_size <= LARGEST:
                seeds[language].append(path.read_bytes())
    return {language: files for language, files in seeds.items() if files}


def lost(file: Damaged, reason: str) -> str:
    """Name what became of a file that its process did not survive."""
    return f"fault: {reason}"


Maker = Callable[[argparse.Namespace], Iterator[Damaged]]

KINDS: dict[str, tuple[Maker, Callable[[Damaged], str]]] = {
    "sources": (
        lambda options: make(read_seeds([FIXTURES, *options.source], options.seeds), options.count, options.seed),
        attempt,
    ),
    "archives": (lambda options: make_archives(options.count, options.seed), attempt_archive),
    "recipes": (lambda options: make_recipes(options.count, options.seed), attempt_recipe),
    "models": (lambda options: make_models(options.count, options.seed), attempt_model),
}


def run(kind: str, options: argparse.Namespace) -> int:
    """Try the files of one kind and print a table; returns how many faults there were."""
    make_them, try_one = KINDS[kind]
    counts: dict[str, Counter[str]] = {}
    begin = time.perf_counter()
    given, files = tee(make_them(options))
    batches = iter(lambda: list(islice(given, 8)) if time.perf_counter() - begin < options.seconds else [], [])
    # In the order of the files; those that no time was left for are not given.
    results = map_in_workers(try_one, batches, options.workers, 600.0, lost)
    for file, result in zip(files, results, strict=False):
        counts.setdefault(file.language, Counter())[result.partition(":")[0]] += 1
        if result.startswith("fault"):
            print(f"{kind}, {file.language}: {result}: {file.data[:200]!r}", file=sys.stderr)
    reasons = sorted({reason for counted in counts.values() for reason in counted})
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    total = sum(sum(counted.values()) for counted in counts.values())
    print(f"{total:,} damaged {kind}, {time.perf_counter() - begin:.0f} s", end="")
    print(f", the largest process took {peak:.0f} MB\n")
    print(f"| {kind} | {' | '.join(reasons)} |\n|---|{'---:|' * len(reasons)}")
    for language, counted in sorted(counts.items()):
        print(f"| {language} | {' | '.join(str(counted[reason]) for reason in reasons)} |")
    print()
    return sum(counted["fault"] for counted in counts.values())


def main() -> int:
    """Try them all; returns 1 if there was a fault."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)} (default: all)")
    arguments.add_argument("--count", type=int, default=50_000, help="how many damaged files a kind (default: 50000)")
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="time for a kind (default: no limit)")
    arguments.add_argument("--source", type=Path, nargs="*", default=[], help="folders of real source files")
    arguments.add_argument("--seeds", type=int, default=200, help="at most so many files of a language (default: 200)")
    arguments.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    arguments.add_argument("--seed", type=int, default=0, help="draws the damage (default: 0)")
    options = arguments.parse_args()
    if unknown := set(options.kinds) - KINDS.keys():
        arguments.error(f"no kinds: {', '.join(unknown)}; known: {', '.join(KINDS)}")
    return int(sum(run(kind, options) for kind in options.kinds or KINDS) > 0)


if __name__ == "__main__":
    sys.exit(main())
