"""Stage I: an encoder learns to fill in masked tokens and obfuscated identifiers.

Contract: from a corpus folder and a tokenizer folder to a model folder (config.json, model.safetensors, tokenizer
files, and `training.json`, the log of the run). The run's checkpoints and prepared rows lie beside it in
`<output>.run`; the same command, started again, goes on from the newest complete checkpoint.

Invariant: the result is a function of the settings and of the data. Neither an interruption nor the number of loader
processes changes it; on a CPU this holds to the last bit. The number of devices changes the rounding, and the dropout.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class PretrainConfig:
    """Train an encoder by random masking and identifier deobfuscation (Stage I).

    The paper (Table 5 and section 3.1) gives 250,000 steps of 2,048 rows of 1,024 tokens, 5,000 steps of warm-up, a
    learning rate of 3e-4, dropout 0.1, masks on 15 % of the tokens, and even odds of masking and deobfuscation; these
    are the defaults. It is silent on the optimizer, its decay and clipping: AdamW with the usual values is ours.

    Attributes:
        corpus: folder written by `extract`; its held-out files are used for the evaluation only.
        tokenizer: folder written by `tokenizer`.
        output: the model folder to write; it must not exist, unless the same run has written it.
        steps: optimizer steps; give these or epochs. With 0 the model is written as it is before the first step.
        epochs: passes over the rows; give these or steps.
        preset: size of a new model (nano, small, base, large); give this or init_from.
        model: single settings of the model that differ from the preset, key=value, for example hidden_size=128.
        init_from: model folder whose weights to start from, instead of new ones. With a larger num_hidden_layers in
            model it grows: the blocks that the folder lacks are new.
        freeze_token_embeddings: train all weights but those of the tokens, which another training has found.
        languages: languages to train on; all of the corpus if not given.
        language_exponent: a language of n rows is drawn in proportion to n to this power: 1 is as the corpus has it, 0
            is as often as any other; of rare languages rows are repeated.
        max_megabytes: text to take of each language, files chosen by chance; all if not given.
        max_length: tokens in a row; files are packed into rows, and do not see each other there.
        batch_size: rows for an optimizer step, over all devices.
        device_batch_size: rows that go through the model at once, on each device; gradients are accumulated.
        learning_rate: highest learning rate.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        schedule: the way down after the warm-up.
        weight_decay: weight decay of AdamW, on weight matrices.
        max_grad_norm: norm to which gradients are clipped.
        deobfuscation_share: share of documents whose identifiers are masked; the others have random masks.
        mask_rate: share of tokens to mask at random.
        highest_mask_rate: if given, each document draws its own rate between mask_rate and this.
        identifier_share: share of a document's names to mask for deobfuscation.
        random_share: share of the masked tokens that become a random token instead of the mask token.
        keep_share: share of the masked tokens that stay as they are.
        seed: seed of the weights, the order of rows, the masks and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        compile: compile the model with torch.compile.
        save_steps: steps between checkpoints.
        eval_steps: steps between evaluations; only at the end if not given.
        eval_rows: at most this many held-out rows are evaluated.
        logging_steps: steps between log lines.
        num_workers: processes that prepare rows, and that load batches for each device; 0 works in the main process.
        shards: folder for the prepared rows, for use by several runs; inside `<output>.run` if not given.
        resume: go on from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for transformers' TrainingArguments, key=value.
    """

    corpus: Path
    tokenizer: Path
    output: Path
    steps: int | None = None
    epochs: float | None = None
    preset: Literal["nano", "small", "base", "large"] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    init_from: Path | None = None
    freeze_token_embeddings: bool = False
    languages: tuple[str, ...] = ()
    language_exponent: float = 1.0
    max_megabytes: float | None = None
    max_length: int = 1024
    batch_size: int = 2048
    device_batch_size: int = 32
    learning_rate: float = 3e-4
    warmup_steps: float = 0.02
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    deobfuscation_share: float = 0.5
    mask_rate: float = 0.15
    highest_mask_rate: float | None = None
    identifier_share: float = 1.0
    random_share: float = 0.0
    keep_share: float = 0.0
    seed: int = 0
    bf16: bool = False
    compile: bool = False
    save_steps: int = 1000
    eval_steps: int | None = None
    eval_rows: int = 512
    logging_steps: int = 10
    num_workers: int = 0
    shards: Path | None = None
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)


def main(config: PretrainConfig) -> Path:
    """Run Stage I, or go on with it.

    Returns:
        The model folder, `config.output`.

    Raises:
        ValueError: settings that do not fit together or to what lies in the folders; the message says what to do.
    """
    for one, other in (("steps", "epochs"), ("preset", "init_from")):
        if (getattr(config, one) is None) == (getattr(config, other) is None):
            raise ValueError(f"give either {one} or {other}")
    if config.freeze_token_embeddings and config.init_from is None:
        raise ValueError("freeze_token_embeddings would keep random ones: give init_from")
    for name in (
        "steps",
        "epochs",
        "max_megabytes",
        "max_length",
        "batch_size",
        "device_batch_size",
        "save_steps",
        "eval_steps",
        "eval_rows",
    ):
        value = getattr(config, name)
        if value is not None and value <= 0 and (name, value) != ("steps", 0):
            raise ValueError(f"{name} must be positive, not {value}")

    from .denoising import run

    return run(config)
