"""The `open-codesage` command: one sub-command per step, each a config dataclass and a `main(config)`.

Contract: `open-codesage COMMAND [--config RECIPE] [--key value ...]`. Errors that a user can mend (`ValueError`,
`OSError`) become one line on standard error and exit status 1, wrong options status 2; anything else is a fault of ours
and keeps its traceback. Invariant: `--help`, of the command and of every sub-command, imports neither torch nor
transformers nor sentence_transformers.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .config import load_config


class Command(NamedTuple):
    """Where a sub-command lives: module below `open_codesage.train` and the name of its config class."""

    module: str
    config: str
    summary: str


COMMANDS = {
    "quickstart": Command("quickstart", "QuickstartConfig", "source code in, trained and evaluated encoder out"),
    "extract": Command("data.extract", "ExtractConfig", "collect source files and (summary, function) pairs"),
    "consistency": Command("data.consistency", "ConsistencyConfig", "keep the pairs that an encoder finds again"),
    "corpus": Command("data.gather", "CorpusConfig", "build a corpus of software packages, cleaned and decontaminated"),
    "tokenizer": Command("stages.tokenizer", "TokenizerConfig", "train a byte-level BPE tokenizer"),
    "pretrain": Command("stages.pretrain", "PretrainConfig", "Stage I: masked LM and identifier deobfuscation"),
    "contrast": Command("stages.contrast", "ContrastConfig", "Stage II: contrastive learning on (text, code) pairs"),
    "finetune": Command("stages.finetune", "FinetuneConfig", "for search or classification, on rows of your own"),
    "evaluate": Command("evaluation.evaluate", "EvaluateConfig", "models on search and classification sets"),
    "ablate": Command("ablation.ablate", "AblateConfig", "a grid of trainings, summed up beside the paper's"),
    "export": Command("release.export", "ExportConfig", "write a Hub folder with remote code and model card"),
    "convert": Command("release.convert", "ConvertConfig", "turn a checkpoint of the authors into a Hub folder"),
    "search": Command("search.search", "SearchConfig", "functions of a tree that answer a question"),
    "publish": Command("release.publish", "PublishConfig", "put a Hub folder on the Hub in one checked commit"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        sys.stderr.write(f"open-codesage: unknown command {name!r}; known: {', '.join(COMMANDS)}\n")
        return 2
    command = COMMANDS[name]
    module = importlib.import_module(f"{__package__}.{command.module}")
    try:
        config = load_config(getattr(module, command.config), rest, prog=f"open-codesage {name}")
    except ValueError as error:
        sys.stderr.write(f"open-codesage {name}: {error}\n")
        return 2
    try:
        module.main(config)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"open-codesage {name}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"open-codesage {name}: interrupted; run the same command again to go on\n")
        return 130
    return 0


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    head = "usage: open-codesage COMMAND [--config RECIPE.yaml] [--key value ...]"
    return "\n".join(
        [head, "", "commands:", *lines, "", "open-codesage COMMAND --help lists the command's options.", ""]
    )
