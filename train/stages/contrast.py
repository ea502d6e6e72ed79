"""Stage II: an encoder learns to give a function and its summary the same direction.

Contract: from an encoder folder and a corpus folder to a SentenceTransformer folder (encoder, mean pooling,
normalisation, and `training.json`, the log of the run). The run's checkpoints lie beside it in `<output>.run`; the same
command, started again, goes on from the newest complete checkpoint.

Invariant: the result is a function of the settings and of the data. Neither an interruption nor the number of loader
processes changes it; on a CPU this holds to the last bit. The number of devices changes the rounding, and the dropout.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class ContrastConfig:
    """Train an encoder by contrastive learning on pairs of summary and function (Stage II).

    The paper (Table 5 and section 3.2) gives 20,000 steps of 8,192 pairs, 500 steps of warm-up, a learning rate of 5e-6
    and a temperature of 0.05, with a hard positive in every pair; these are the defaults. It is silent on the lengths,
    the optimizer, and two points of the weights of hard negatives, for which both readings are options.

    Attributes:
        model: encoder folder to start from: one of `pretrain`, or any other with weights in safetensors.
        corpus: folder written by `extract`; its held-out functions are used for the evaluation only.
        output: the SentenceTransformer folder to write; it must not exist, unless the same run has written it.
        steps: optimizer steps; give these or epochs.
        epochs: passes over the pairs; give these or steps.
        languages: languages to train on; all of the corpus if not given.
        language_exponent: a language of n rows is drawn in proportion to n to this power: 1 is as the corpus has it, 0
            is as often as any other; of rare languages rows are repeated.
        batch_size: pairs in a batch, over all devices; each pair's negatives are all others of them.
        mini_batch_size: rows that go through the encoder at once, on each device; memory depends on this and not on
            batch_size. none takes the whole batch, which saves a quarter of the time where it fits.
        text_max_length: tokens to which summaries are cut.
        code_max_length: tokens to which functions are cut, also by the trained model.
        one_language_batches: no batch mixes languages.
        hard_positive_share: share of pairs whose function is without its signature and return statements.
        name_mask_share: share of pairs whose summary loses the function's own name at its beginning, as usual in Go
            ("NewSet creates a set"), so that the name alone does not tell the function.
        documentation_share: share of pairs whose text is the whole documentation and not its first sentence, as long as
            text_max_length allows; the paper has none.
        token_dropout: share of tokens that are left out of texts and functions, anew at every step; the first stays.
        share_spellings: spellings of a word ("Index", " index", "_INDEX") start with one vector, and each also learns
            from the gradients of the others.
        learning_rate: highest learning rate.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        schedule: the way down after the warm-up.
        weight_decay: weight decay of AdamW, on weight matrices.
        max_grad_norm: norm to which gradients are clipped.
        temperature: divides the cosines.
        pairs: what is pulled together: a summary and its function, or, as in SimCSE and for comparison only, a function
            and itself under another draw of the encoder's dropout.
        loss: that of the paper, or the MultipleNegativesRankingLoss of sentence-transformers.
        gamma: weights of hard negatives: none, or normalised to the sum or the mean of one over an anchor's negatives.
        gamma_gradient: let gradients through these weights.
        hardness_mode: with loss mnrl, that loss's own way to give hard negatives more weight; a pair has no negatives
            but those of its batch.
        hardness_strength: how much, see sentence-transformers; 9 in the work that it comes from.
        matryoshka_dims: also train the first dimensions of the embedding alone, for example 64 128.
        seed: seed of the batches, the forms of the pairs and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        save_steps: steps between checkpoints.
        eval_steps: steps between evaluations; only at the end if not given.
        eval_pairs: search among at most this many held-out functions in an evaluation.
        logging_steps: steps between log lines.
        num_workers: processes that tokenize batches for each device; 0 works in the main process.
        resume: go on from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for sentence-transformers' SentenceTransformerTrainingArguments, key=value.
    """

    model: Path
    corpus: Path
    output: Path
    steps: int | None = None
    epochs: float | None = None
    languages: tuple[str, ...] = ()
    language_exponent: float = 1.0
    batch_size: int = 8192
    mini_batch_size: int | None = 32
    text_max_length: int = 256
    code_max_length: int = 1024
    one_language_batches: bool = True
    hard_positive_share: float = 1.0
    name_mask_share: float = 0.5
    documentation_share: float = 0.0
    token_dropout: float = 0.0
    share_spellings: bool = False
    learning_rate: float = 5e-6
    warmup_steps: float = 0.025
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    temperature: float = 0.05
    pairs: Literal["bimodal", "dropout"] = "bimodal"
    loss: Literal["ours", "mnrl"] = "ours"
    gamma: Literal["none", "sum", "mean"] = "mean"
    gamma_gradient: bool = False
    hardness_mode: Literal["in_batch_negatives"] | None = None
    hardness_strength: float = 9.0
    matryoshka_dims: tuple[int, ...] = ()
    seed: int = 0
    bf16: bool = False
    save_steps: int = 1000
    eval_steps: int | None = None
    eval_pairs: int = 1000
    logging_steps: int = 10
    num_workers: int = 0
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)


def main(config: ContrastConfig) -> Path:
    """Run Stage II, or go on with it.

    Returns:
        The SentenceTransformer folder, `config.output`.

    Raises:
        ValueError: settings that do not fit together or to what lies in the folders; the message says what to do.
    """
    if (config.steps is None) == (config.epochs is None):
        raise ValueError("give either steps or epochs")
    lengths = ("steps", "epochs", "mini_batch_size", "text_max_length", "code_max_length")
    for name in (*lengths, "save_steps", "eval_steps", "eval_pairs", "logging_steps", "temperature"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive, not {value}")
    if config.batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, not {config.batch_size}: negatives are the others of a batch")
    for name in ("hard_positive_share", "name_mask_share", "documentation_share"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name} must be from 0 to 1, not {getattr(config, name)}")
    if not 0 <= config.token_dropout < 1:
        raise ValueError(f"token_dropout must be from 0 to below 1, not {config.token_dropout}")
    if config.gamma_gradient and config.gamma == "none":
        raise ValueError("gamma_gradient needs weights to go through: choose gamma sum or mean")
    if config.loss == "ours" and config.hardness_mode is not None:
        raise ValueError("hardness_mode is an option of loss mnrl: the weights of our loss are set by gamma")
    if config.hardness_strength < 0:
        raise ValueError(f"hardness_strength must be 0 or more, not {config.hardness_strength}")

    from .bimodal import run

    return run(config)
