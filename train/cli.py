"""The `open-codesage` command: one sub-command per step, each a config dataclass and a `main(config)`.

Contract: `open-codesage COMMAND [--config RECIPE] [--key value ...]`. Errors that a user can mend (`ValueError`,
`OSError`, and what a full disk makes a library raise) become one line on standard error and exit status 1, wrong
options status 2; anything else is a fault of ours and keeps its traceback. `search` ends as grep does: 0 if it has
found something, 1 if not, 2 for an error.

Invariant: `--help`, of the command and of every sub-command, imports neither torch nor transformers nor
sentence_transformers.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .common.config import load_config
from .common.console import note
from .common.disk import full_disk


class Command(NamedTuple):
    """A sub-command.

    Attributes:
        config: where its config class lies, as `module:name` below `open_codesage.train`.
        main: where its main lies.
        summary: what it does.
        like_grep: whether its exit status is that of grep: 0 if main has found something, 1 if not, 2 for an error.
    """

    config: str
    main: str
    summary: str
    like_grep: bool = False

    def load_config(self) -> type[Any]:
        """Import the config class, and with it nothing heavy."""
        return _load(self.config)

    def load_main(self) -> Callable[[Any], Any]:
        """Import the function that runs the command."""
        return _load(self.main)


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)


COMMANDS = {
    "quickstart": Command(
        "quickstart:QuickstartConfig",
        "quickstart:main",
        "source code in, trained and evaluated encoder out",
    ),
    "extract": Command(
        "corpus.extract:ExtractConfig",
        "corpus.extract:main",
        "collect source files and (summary, function) pairs",
    ),
    "consistency": Command(
        "stages.configs:ConsistencyConfig",
        "stages.consistency:main",
        "keep the pairs that an encoder finds again",
    ),
    "corpus": Command(
        "corpus.packages.build:CorpusConfig",
        "corpus.packages.build:main",
        "build a corpus of software packages, cleaned and decontaminated",
    ),
    "tokenizer": Command(
        "stages.configs:TokenizerConfig",
        "stages.tokenizer:main",
        "train a byte-level BPE tokenizer",
    ),
    "pretrain": Command(
        "stages.configs:PretrainConfig",
        "stages.pretrain:main",
        "Stage I: masked LM and identifier deobfuscation",
    ),
    "contrast": Command(
        "stages.configs:ContrastConfig",
        "stages.contrast:main",
        "Stage II: contrastive learning on (text, code) pairs",
    ),
    "distill": Command(
        "stages.configs:DistillConfig",
        "stages.distill:main",
        "a static encoder out of another: a table of token vectors",
    ),
    "finetune": Command(
        "stages.configs:FinetuneConfig",
        "stages.finetune:main",
        "for search or classification, on rows of your own",
    ),
    "evaluate": Command(
        "evaluation.config:EvaluateConfig",
        "evaluation.evaluate:main",
        "models on search and classification sets",
    ),
    "ablate": Command(
        "evaluation.ablation.ablate:AblateConfig",
        "evaluation.ablation.ablate:main",
        "a grid of trainings, summed up beside the paper's",
    ),
    "export": Command(
        "release.config:ExportConfig",
        "release.export:main",
        "write a Hub folder with remote code and model card",
    ),
    "convert": Command(
        "release.config:ConvertConfig",
        "release.convert:main",
        "turn a checkpoint of the authors into a Hub folder",
    ),
    "average": Command(
        "release.config:AverageConfig",
        "release.average:main",
        "the weights of one model in the middle of several",
    ),
    "safetensors": Command(
        "release.config:SafetensorsConfig",
        "release.pickles:main",
        "turn pickled weights into safetensors",
    ),
    "search": Command(
        "search.configs:SearchConfig",
        "search.command:main",
        "what in a tree of source code answers a question",
        like_grep=True,
    ),
    "index": Command(
        "search.configs:IndexConfig",
        "search.command:index_main",
        "make or refresh the index of a tree for search",
    ),
    "mcp": Command(
        "search.configs:McpConfig",
        "search.mcp_server:main",
        "serve the search of a tree to agents (MCP)",
    ),
    "publish": Command(
        "release.config:PublishConfig",
        "release.publish:main",
        "put a Hub folder on the Hub in one checked commit",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit status."""
    # Where JAX is installed, libraries of ours import it, and it takes three quarters of a GPU that it never uses.
    os.environ.setdefault("USE_JAX", "0")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        note(f"open-codesage: unknown command {name!r}; known: {', '.join(COMMANDS)}")
        return 2
    command = COMMANDS[name]
    try:
        config = load_config(command.load_config(), rest, prog=f"open-codesage {name}")
    except ValueError as error:
        note(f"open-codesage {name}: {error}")
        return 2
    try:
        found = command.load_main()(config)
    except KeyboardInterrupt:
        note(f"open-codesage {name}: interrupted; run the same command again to resume")
        return 130
    except Exception as error:
        # A full disk makes each library raise an error of its own.
        reason = full_disk(error, [place for place in vars(config).values() if isinstance(place, Path)])
        if reason is None and not isinstance(error, ValueError | OSError):
            raise
        note(f"open-codesage {name}: {reason or error}")
        return 2 if command.like_grep else 1
    return 1 if command.like_grep and not found else 0


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    head = "usage: open-codesage COMMAND [--config RECIPE.yaml] [--key value ...]"
    return "\n".join(
        [head, "", "commands:", *lines, "", "open-codesage COMMAND --help lists the command's options.", ""]
    )
