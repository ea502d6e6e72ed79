"""Configs refuse wrong values when they are made, in Python as on the command line."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from open_codesage.train import cli
from open_codesage.train.common.checks import (
    require_one,
    require_positive,
    require_range,
    require_share,
    require_some,
)
from open_codesage.train.corpus.packages.build import CorpusConfig
from open_codesage.train.corpus.sample import SampleConfig
from open_codesage.train.evaluation.ablation.ablate import AblateConfig
from open_codesage.train.evaluation.config import EvaluateConfig
from open_codesage.train.release.config import ConvertConfig, ExportConfig, PublishConfig
from open_codesage.train.stages.configs import (
    ConsistencyConfig,
    ContrastConfig,
    FinetuneConfig,
    PretrainConfig,
    TokenizerConfig,
)

HERE = Path("here")


@dataclass
class Values:
    rate: float | None = 0.5
    sizes: tuple[int, ...] = (1, 2)
    name: str = "a"
    other: str | None = None


def test_numbers_outside_their_range_are_refused_with_name_and_value():
    require_range(Values(), "rate", "sizes", above=0, at_most=2)
    require_range(Values(rate=None), "rate", at_least=10)
    with pytest.raises(ValueError, match=r"^rate must be at least 0 and below 0\.5, not 0\.5$"):
        require_range(Values(), "rate", at_least=0, below=0.5)
    with pytest.raises(ValueError, match=r"^sizes must be at most 1, not 2$"):
        require_range(Values(), "sizes", at_most=1)
    with pytest.raises(ValueError, match=r"^rate must be positive, not nan$"):
        require_positive(Values(rate=float("nan")), "rate")
    with pytest.raises(ValueError, match=r"^rate must be at least 0 and at most 1, not 1\.5$"):
        require_share(Values(rate=1.5), "rate")


def test_one_of_two_and_some():
    require_one(Values(), "name", "other")
    require_some(Values(), "name", "other", "sizes")
    with pytest.raises(ValueError, match="give either rate or name"):
        require_one(Values(), "rate", "name")
    for empty, name in ((Values(sizes=()), "sizes"), (Values(name=" "), "name")):
        with pytest.raises(ValueError, match=f"{name} is empty"):
            require_some(empty, name)


VALID = {
    AblateConfig: {"recipe": "masking", "output": HERE, "corpus": HERE, "tasks": HERE},
    ConsistencyConfig: {"corpus": HERE, "model": "m", "output": HERE},
    ContrastConfig: {"model": HERE, "corpus": HERE, "output": HERE, "steps": 1},
    ConvertConfig: {"source": HERE, "output": HERE},
    CorpusConfig: {"recipe": HERE, "output": HERE},
    EvaluateConfig: {"models": ("m",), "tasks": ("t",)},
    ExportConfig: {"model": HERE, "output": HERE},
    FinetuneConfig: {"model": "m", "data": "d", "output": HERE, "task": "retrieval"},
    PretrainConfig: {"corpus": HERE, "tokenizer": HERE, "output": HERE, "steps": 1, "preset": "nano"},
    PublishConfig: {"folder": HERE, "repo": "user/model"},
    SampleConfig: {"corpus": HERE, "output": HERE, "languages": ("python",), "functions": 1, "held_out": 1},
    TokenizerConfig: {"corpus": HERE, "output": HERE},
}


@pytest.mark.parametrize("cls", VALID, ids=lambda cls: cls.__name__)
def test_the_settings_that_the_next_tests_change_are_valid(cls):
    cls(**VALID[cls])


@pytest.mark.parametrize(
    ("cls", "changed", "named"),
    [
        (AblateConfig, {"cell": 1, "part": "1/2"}, "cell or part"),
        (AblateConfig, {"corpus": None}, "--corpus"),
        (ConsistencyConfig, {"sample": 0}, "sample"),
        (ContrastConfig, {"epochs": 1.0}, "steps or epochs"),
        (ContrastConfig, {"learning_rate": 0.0}, "learning_rate"),
        (ContrastConfig, {"matryoshka_dims": (64, 0)}, "matryoshka_dims"),
        (ContrastConfig, {"num_workers": -1}, "num_workers"),
        (ContrastConfig, {"warmup_steps": -0.1}, "warmup_steps"),
        (ConvertConfig, {"max_length": 1}, "max_length"),
        (ConvertConfig, {"int8": True}, "int8"),
        (CorpusConfig, {"package_share": 1.1}, "package_share"),
        (EvaluateConfig, {"seeds": ()}, "seeds"),
        (EvaluateConfig, {"tolerance": -1.0}, "tolerance"),
        (EvaluateConfig, {"cutoff": 2000}, "cutoff"),
        (ExportConfig, {"int8": True}, "int8"),
        (ExportConfig, {"name": "two words"}, "'two words'"),
        (FinetuneConfig, {"learning_rate": -1e-5}, "learning_rate"),
        (FinetuneConfig, {"metric": "accuracy"}, "accuracy"),
        (FinetuneConfig, {"merge": True}, "merge"),
        (PretrainConfig, {"init_from": HERE}, "preset or init_from"),
        (PretrainConfig, {"mask_rate": 0.5, "highest_mask_rate": 0.4}, "highest_mask_rate"),
        (PretrainConfig, {"random_share": 0.6, "keep_share": 0.6}, "random_share and keep_share"),
        (PretrainConfig, {"freeze_token_embeddings": True}, "freeze_token_embeddings"),
        (PublishConfig, {"create_pr": True, "private": True}, "create_pr"),
        (PublishConfig, {"repo": "model"}, "USER/model"),
        (SampleConfig, {"functions": 0}, "functions"),
        (TokenizerConfig, {"max_length": 1}, "max_length"),
    ],
)
def test_a_wrong_setting_is_refused_when_the_config_is_made(cls, changed, named):
    with pytest.raises(ValueError, match=named):
        cls(**(VALID[cls] | changed))


def test_on_the_command_line_it_is_one_line_and_status_two(tmp_path, capsys):
    command = ["contrast", "--model", "m", "--corpus", "c", "--output", str(tmp_path / "out"), "--steps", "1"]
    assert cli.main([*command, "--temperature", "-1"]) == 2
    assert capsys.readouterr().err == "open-codesage contrast: temperature must be positive, not -1.0\n"
