"""Stage II: an encoder learns to give a function and its summary the same direction.

Contract: from an encoder folder and a corpus folder to a SentenceTransformer folder (encoder, mean pooling,
normalization, and `training.json`, the log of the run). The run's checkpoints lie beside it in `<output>.run`; the same
command, started again, resumes from the newest complete checkpoint.

Invariants: the result is a function of the settings and of the data. Neither an interruption nor the number of loader
processes changes it; on a CPU this holds to the last bit. The number of devices changes the rounding, and the dropout.
The pairs of a step are a function of the seed and the step, and their form one of the seed, the epoch and the pair. An
evaluation does not advance the generators that training uses. The loss, and with it the meaning of batch_size, is that
of one device, however many there are.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from open_codesage.modeling import CodeSageConfig
from open_codesage.modeling.attention_codesage import takes_listed
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.tokenizer import forget_calls
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from torch import Tensor, nn
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from ..common.config import deciding
from ..common.console import say
from ..common.fingerprint import digest
from ..common.identity import identify
from ..common.output import LOG, run_folder
from ..common.randomness import permutation
from ..common.run import Run
from ..corpus.corpus import Corpus
from ..corpus.mixture import mix_languages
from ..retrieval.encoder import Encoder
from ..retrieval.evaluator import SearchEvaluator
from ..retrieval.task import held_out_search
from .callbacks.collapse import CollapseAlarm
from .callbacks.preemption import Preemption
from .callbacks.throughput import measured_peak, work
from .configs import ContrastConfig
from .data.batches import LANGUAGE, PairBatchSampler, PairCollator, flatten, without_name
from .distillation import DistilledLoss, TeacherVectors
from .length_buckets import ACCELERATOR_TOKENS, CPU_TOKENS, bucket_by_length
from .losses import HardNegativeContrastiveLoss, collapse_value, collapse_value_of_ranking
from .run import SealedCheckpoints, begin_run, record, speaker
from .spellings import join_spellings, spellings
from .starting_point import local_folder, open_starting_point
from .trainer import UNBOUNDED, CountedTraining, SentenceTrainer, timekeepers, trainer_arguments

SIDES = ("text", "code")

_MRR, _DEPTH = "eval_mrr", 10


class BimodalTrainer(CountedTraining, SentenceTrainer):
    """The sentence-transformers trainer with a given batch sampler, and counts of tokens and model FLOPs.

    Args:
        batches: the sampler of the training pairs.
        token_dropout: share of tokens that a step leaves out.
        kwargs: the trainer's own arguments.
    """

    def __init__(self, batches: PairBatchSampler, token_dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches, self.token_dropout = batches, token_dropout
        self.encoder_config = self.model.transformers_model.config
        self.flat = _computes_flat(self.encoder_config, self.args)
        self.add_callback(_Epochs(batches, self.data_collator))

    def get_batch_sampler(self, *args: Any, **kwargs: Any) -> PairBatchSampler:
        """Return the sampler that was given."""
        return self.batches

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Train on a batch, less the tokens that are dropped."""
        self._drop_tokens(inputs)
        return super().training_step(model, self._flattened(inputs), num_items_in_batch)

    def _drop_tokens(self, inputs: dict[str, Any]) -> None:
        """Take tokens by chance out of the attention masks: the encoder then computes as if they were not there."""
        for side in SIDES if self.token_dropout else ():
            mask = inputs[f"{side}_attention_mask"]
            dropped = torch.rand(mask.shape, device=mask.device) < self.token_dropout
            dropped[:, 0] = False
            inputs[f"{side}_attention_mask"] = mask.masked_fill(dropped, 0)

    def _flattened(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Take the padding out for our encoder, at once: it would look for its documents in every pass."""
        if not self.flat:
            return inputs
        others = {key: value for key, value in inputs.items() if not key.startswith(SIDES)}
        return others | {
            f"{side}_{key}": value
            for side in SIDES
            for key, value in flatten(inputs[f"{side}_input_ids"], inputs[f"{side}_attention_mask"]).items()
        }

    def floating_point_ops(self, inputs: dict[str, Any]) -> float:  # type: ignore[override]
        """Count one forward and one backward pass; the extra forward pass of gradient caching is not counted."""
        sides = ({key: inputs[f"{side}_{key}"] for key in ("input_ids", "attention_mask")} for side in SIDES)
        return self.count(torch.stack([work(side) for side in sides]).sum(0))

    @property
    def counted_config(self) -> PretrainedConfig:
        """Configuration of the encoder."""
        return self.encoder_config


class _Epochs(TrainerCallback):
    """Tells the sampler and the collator the epoch, the latter before the processes of the loader take a copy of it.

    The Trainer fails to tell the sampler when several processes go on in the middle of an epoch.
    """

    def __init__(self, batches: PairBatchSampler, collator: PairCollator) -> None:
        self.batches, self.collator = batches, collator

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.collator.epoch = state.global_step // (len(self.batches) // self.batches.processes)
        self.batches.set_epoch(self.collator.epoch)


def main(config: ContrastConfig) -> Path:
    """Run Stage II, resume it, or find that it is finished.

    Returns:
        The SentenceTransformer folder, `config.output`.

    Raises:
        ValueError: settings that do not fit what lies in the folders; the message says what to do.
    """
    args = _training_arguments(config)
    corpus = Corpus(config.corpus)
    run = Run(config.output, _settings(config), LOG)
    if run.finished():
        speaker(args)(f"{config.output} is finished already")
        return config.output
    with run.begin(args.should_save):
        _train(config, args, corpus, run)
    return config.output


def _train(config: ContrastConfig, args: SentenceTransformerTrainingArguments, corpus: Corpus, run: Run) -> None:
    report = speaker(args)
    set_seed(config.seed)
    start = open_starting_point(config.model, config.pooling, config.text_max_length, config.code_max_length)
    model = start.model
    report(f"Stage II: {start.told}")
    if config.pairs == "dropout" and not _has_dropout(_encoder(model).config):
        raise ValueError(
            f"{config.model} has no dropout, so a function would be paired with its very copy: "
            "set it in that model's config.json"
        )
    _encoder(model).set_attn_implementation(config.attention)
    if config.share_spellings:
        join_spellings(_encoder(model).get_input_embeddings(), spellings(model.tokenizer))
    with args.main_process_first(local=False):
        languages = [resolve_language(language) for language in config.languages] or None
        pairs, held_out = (corpus.functions(split, languages) for split in ("train", "held_out"))
        pairs = mix_languages(pairs, config.language_exponent, config.seed)
    columns = ["summary", "code", *(["hard_positive"] if config.hard_positive_share else []), LANGUAGE]
    if config.name_mask_share:
        nameless = list(map(without_name, pairs["summary"], pairs["name"]))
        pairs = pairs.add_column("nameless_summary", nameless)
        columns.append("nameless_summary")
    if config.documentation_share:
        columns.append("documentation")
    pairs = pairs.select_columns(columns)
    batches = PairBatchSampler(
        pairs,
        args.per_device_train_batch_size,
        seed=config.seed,
        one_language=config.one_language_batches,
        processes=args.world_size,
    )
    checkpoint = begin_run(run.folder, run.settings, config.resume)
    peak = measured_peak(args.device, torch.bfloat16 if config.bf16 else torch.float32)
    report(
        f"Stage II: {_encoder(model).num_parameters():,} parameters, {len(pairs):,} pairs, of which "
        f"{batches.rows_per_epoch:,} fill the batches of {config.batch_size:,} in an epoch, "
        f"peak {peak / 1e9:,.0f} GFLOP/s x {args.world_size}"
    )
    for language, rows in batches.left_out.items():
        report(f"Stage II: {language} is left out, its {rows:,} pairs do not fill a batch: choose a smaller batch_size")
    alarm = CollapseAlarm(_collapse_value(config) * max(1, len(config.matryoshka_dims)), report)
    collator = PairCollator(
        model.preprocess,
        config.text_max_length,
        config.code_max_length,
        config.hard_positive_share,
        config.seed,
        config.name_mask_share,
        config.documentation_share,
        dropout_pairs=config.pairs == "dropout",
        question_share=config.question_share,
        obfuscated_share=config.obfuscated_share,
        unimodal_share=config.unimodal_share,
        text_prompt=start.text_prompt,
        code_prompt=start.code_prompt,
    )
    if config.teacher is not None:
        if args.world_size > 1:
            raise ValueError("a teacher's similarities are learnt on one device only: train with one process")
        collator.teacher = _teacher_vectors(config, pairs, batches, collator)
    # Our own encoder takes rows end to end instead, see `BimodalTrainer`.
    if _encoder(model).config.model_type != CodeSageConfig.model_type:
        bucket_by_length(_encoder(model), CPU_TOKENS if args.device.type == "cpu" else ACCELERATOR_TOKENS)
    preemption = Preemption()
    callbacks = timekeepers(config, peak * args.world_size, preemption)
    trainer = BimodalTrainer(
        batches,
        config.token_dropout,
        model=model,
        args=args,
        train_dataset=pairs,
        data_collator=collator,
        loss=_loss(model, config, args.world_size > 1),
        evaluator=_search(held_out, config),
        callbacks=[*callbacks, SealedCheckpoints(), *([] if config.teacher else [alarm])],
    )
    # Processes must not draw the same dropout. A checkpoint brings the states of its own.
    torch.manual_seed(config.seed + args.process_index)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    preemption.leave(report)
    if args.should_save:
        _write_model(trainer, run, peak, alarm.message)


def _training_arguments(config: ContrastConfig) -> SentenceTransformerTrainingArguments:
    """Translate the settings; also starts the process group under torchrun."""
    accelerator = torch.accelerator.is_available()
    # Unless told, the Trainer takes several processes without accelerators for so many separate trainings.
    usual = {"use_cpu": not accelerator, "dataloader_pin_memory": accelerator}
    args = trainer_arguments(
        SentenceTransformerTrainingArguments,
        dataclasses.replace(config, trainer=usual | config.trainer),
        settled={
            "max_steps": config.steps or (UNBOUNDED if config.max_minutes else -1),
            "num_train_epochs": config.epochs or 1,
            "include_num_input_tokens_seen": "no",
            # A batch is one step: negatives of different batches do not meet.
            "gradient_accumulation_steps": 1,
            "accelerator_config": {"split_batches": False, "dispatch_batches": False},
        },
        computed={"per_device_train_batch_size", "batch_sampler", "prompts"},
    )
    args.per_device_train_batch_size, rest = divmod(config.batch_size, args.world_size)
    if rest:
        raise ValueError(f"batch_size {config.batch_size} is not a multiple of the {args.world_size} devices")
    return args


def _settings(config: ContrastConfig) -> dict[str, Any]:
    """Everything that the result depends on. Data count by their contents, wherever they lie."""
    folder = local_folder(config.model)
    settings = deciding(config)
    settings["corpus"] = digest(*sorted(config.corpus.glob("functions/*.parquet")), config.corpus / "held_out.json")
    settings["model"] = digest(*sorted(folder.rglob("*.safetensors")))
    settings["teacher"] = config.teacher and identify(config.teacher).hash
    return settings


def _computes_flat(config: PretrainedConfig, args: SentenceTransformerTrainingArguments) -> bool:
    """Say whether the encoder computes rows that lie end to end: ours does on CPUs, and where a kernel can."""
    if config.model_type != CodeSageConfig.model_type:
        return False
    if args.device.type == "cpu" and config._attn_implementation == "sdpa":
        return True
    return takes_listed(config, args.device, torch.bfloat16 if args.bf16 else torch.float32, training=True)


def _has_dropout(config: PretrainedConfig) -> bool:
    """Say whether a setting of the encoder whose name speaks of dropout is a rate above 0."""
    rates = [value for key, value in config.to_dict().items() if re.search("(?<!classifier_)drop", key)]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _encoder(model: SentenceTransformer) -> PreTrainedModel:
    return model.transformers_model


def _loss(model: SentenceTransformer, config: ContrastConfig, gather: bool) -> nn.Module:
    loss: nn.Module
    if config.loss == "mnrl":
        loss = _ranking(model, config, gather)
    elif config.teacher is None:
        loss = _ours(model, config, gather)
    else:
        loss = DistilledLoss(_ours(model, config, gather), config.teacher_share)
    return MatryoshkaLoss(model, loss, config.matryoshka_dims) if config.matryoshka_dims else loss


def _ours(model: SentenceTransformer, config: ContrastConfig, gather: bool) -> HardNegativeContrastiveLoss:
    return HardNegativeContrastiveLoss(
        model,
        temperature=config.temperature,
        gamma=config.gamma,
        gamma_gradient=config.gamma_gradient,
        mini_batch_size=config.mini_batch_size,
        gather_across_devices=gather,
    )


def _ranking(model: SentenceTransformer, config: ContrastConfig, gather: bool) -> nn.Module:
    options: dict[str, Any] = {
        "scale": 1 / config.temperature,
        "gather_across_devices": gather,
        "hardness_mode": config.hardness_mode,
        "hardness_strength": config.hardness_strength if config.hardness_mode else 0.0,
    }
    if config.mini_batch_size is None:
        return MultipleNegativesRankingLoss(model, **options)
    return CachedMultipleNegativesRankingLoss(model, mini_batch_size=config.mini_batch_size, **options)


def _teacher_vectors(
    config: ContrastConfig, pairs: Dataset, batches: PairBatchSampler, collator: PairCollator
) -> TeacherVectors:
    """What the teacher makes of every pair that the run will show."""
    steps = config.steps or math.ceil((config.epochs or 1) * len(batches))
    forms: dict[tuple[str, str], None] = {}
    for epoch in range(math.ceil(steps / len(batches))):
        batches.set_epoch(epoch)
        collator.epoch = epoch
        shown = batches.global_batches()[: steps - epoch * len(batches)]
        forms |= {(collator.text(row), collator.code(row)): None for row in pairs.select(np.unique(shown))}
    batches.set_epoch(0)
    encoder = Encoder(str(config.teacher), batch_size=32)
    longest = encoder.lengths["document"]
    encoder.lengths = dict.fromkeys(encoder.lengths, min(config.code_max_length, longest or config.code_max_length))
    return TeacherVectors(run_folder(config.output) / "teacher.npy", list(forms), encoder.embed)


def _collapse_value(config: ContrastConfig) -> float:
    if config.loss == "ours":
        return collapse_value(config.batch_size, config.gamma)
    return collapse_value_of_ranking(config.batch_size, config.hardness_strength if config.hardness_mode else 0.0)


def _search(held_out: Dataset, config: ContrastConfig) -> SearchEvaluator:
    """Code search among held-out functions: the query is a summary, the answers are the full functions that have it."""
    if not len(held_out):
        raise ValueError(f"{config.corpus} has no held-out functions to evaluate with")
    rows = held_out.select(permutation(config.seed, len(held_out))[: config.eval_pairs])
    return SearchEvaluator(held_out_search(rows), batch_size=32, depth=_DEPTH)


def _write_model(trainer: BimodalTrainer, run: Run, peak: float, collapse: str | None) -> None:
    """Write the SentenceTransformer folder at once."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    evaluation = next(entry for entry in reversed(trainer.state.log_history) if _MRR in entry)
    log = record(trainer, _encoder(model), peak) | {
        "pairs": len(trainer.train_dataset),
        "pairs_per_epoch": trainer.batches.rows_per_epoch,
        "left_out": trainer.batches.left_out,
        f"held_out_mrr@{_DEPTH}": evaluation[_MRR] / 100,
        "collapse": collapse,
    }
    forget_calls(model.tokenizer)
    with run.write(log) as folder:
        # The card is written by `export`: that of the library tells of this very run, resumed or not.
        model.save_pretrained(str(folder), create_model_card=False)
    say(
        f"Stage II: {log['steps']:,} steps, {log['tokens']:,} tokens in {log['seconds']:.0f} s "
        f"({log['tokens_per_second']:,.0f} tokens/s, MFU {log['mfu']:.1%}), "
        f"held-out MRR@10 {100 * log['held_out_mrr@10']:.1f} %, {run.output}"
    )
