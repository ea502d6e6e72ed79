"""Stage I: an encoder learns to fill in masked tokens and obfuscated identifiers.

Contract: from a corpus folder and a tokenizer folder to a model folder (config.json, model.safetensors, tokenizer
files, and `training.json`, the log of the run). The run's checkpoints and prepared rows lie beside it in
`<output>.run`; the same command, started again, resumes from the newest complete checkpoint. `DenoisingTrainer` is a
Trainer with exact losses. What differs for encoders that others have made is in `pretrain_native`.

Invariants: the result is a function of the settings and of the data. Neither an interruption nor the number of loader
processes changes it; on a CPU this holds to the last bit. The number of devices changes the rounding, and the dropout.
The rows of a step are a function of the seed and the step, their masks of the seed, the epoch and the row. An
evaluation does not advance the generators that training uses. The evaluation loss is the mean over labelled tokens,
for any batch size and number of devices.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.modeling.attention_codesage import takes_listed
from open_codesage.tokenization.languages import resolve_language
from open_codesage.tokenization.tokenizer import forget_calls
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    EvalPrediction,
    IntervalStrategy,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

from ..common.config import deciding
from ..common.console import say
from ..common.fingerprint import digest
from ..common.model_folder import require_sound_tokenizer
from ..common.output import LOG
from ..common.positions import longest_document
from ..common.run import Run
from ..corpus.corpus import Corpus
from ..corpus.mixture import limit_languages, mix_languages
from .callbacks.preemption import Preemption
from .callbacks.stopping import require_finite
from .callbacks.throughput import measured_peak, work
from .configs import PretrainConfig
from .data.masking import IdentifierMaskingCollator
from .data.masks import IGNORED
from .data.packing import prepare_shards
from .data.stream import EpochStream
from .pretrain_native import COLUMNS as TEXT_COLUMNS
from .pretrain_native import initial_native_model, is_native, masked_lm_loss, text_collator
from .run import SealedCheckpoints, begin_run, record, speaker
from .starting_point import local_folder
from .trainer import UNBOUNDED, CountedTraining, UndisturbedTraining, length_of, timekeepers, trainer_arguments

EVALUATION_SEED = 0
"""Evaluations have the masks of the paper, the same in every run, so that runs with other masks can be compared."""

# Arguments of the Trainer that are worked out from the settings and the number of devices.
COMPUTED = {
    "max_steps", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size",
    "gradient_accumulation_steps",
}  # fmt: skip


class DenoisingTrainer(CountedTraining, UndisturbedTraining, Trainer):
    """The Trainer with exact evaluation losses, exact counts of model FLOPs, and its rows in the order of the dataset.

    Args:
        eval_collators: for each name in `eval_dataset`, the collator that draws its masks.
        rows: rows in an epoch, by which the log tells epochs.
        kwargs: the Trainer's own arguments.
    """

    data_collator: Any

    def __init__(self, eval_collators: Mapping[str, Callable[[list[Any]], Any]], rows: int, **kwargs: Any) -> None:
        super().__init__(compute_metrics=_mean_loss, **kwargs)
        self.eval_collators = eval_collators
        self.rows = rows

    def get_eval_dataloader(self, eval_dataset: str | Any | None = None) -> DataLoader:
        """Return the loader of an evaluation set, with that set's masks."""
        training_collator = self.data_collator
        if isinstance(eval_dataset, str):
            self.data_collator = self.eval_collators[eval_dataset]
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collator

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return each row's summed loss and number of labels, [B] each, in the places of predictions and labels."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            labelled = inputs["labels"] != IGNORED
            if self.model.config.model_type == CodeSageConfig.model_type:
                logits = model(**inputs, sparse_logits=True).logits
            else:
                rest = {key: value for key, value in inputs.items() if key != "labels"}
                logits = model(**rest).logits[labelled]
        losses = F.cross_entropy(logits.float(), inputs["labels"][labelled], reduction="none")
        row = labelled.nonzero()[:, 0]
        sums = torch.zeros(len(labelled), device=losses.device).index_add_(0, row, losses)
        return None, sums, labelled.sum(dim=1)

    def floating_point_ops(self, inputs: dict[str, Any]) -> float:
        """Count as the MFU is defined, not by the size of the padded batch."""
        return self.count(work(inputs))

    @property
    def counted_config(self) -> PreTrainedConfig:
        """Configuration of the encoder."""
        return self.model.config

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log with the epoch of the data; the dataset is one long stream, of which the Trainer sees a single epoch."""
        require_finite(logs, self.state.global_step)
        self.state.epoch = self.state.global_step * self.get_total_train_batch_size(self.args) / self.rows
        super().log(logs)


def main(config: PretrainConfig) -> Path:
    """Run Stage I, resume it, or find that it is finished.

    Returns:
        The model folder, `config.output`.

    Raises:
        ValueError: settings that do not fit what lies in the folders; the message says what to do.
    """
    args = _training_arguments(config)
    if not (config.tokenizer / "tokenizer.json").is_file():
        raise ValueError(f"{config.tokenizer} is not a tokenizer folder: write one with `open-codesage tokenizer`")
    require_sound_tokenizer(config.tokenizer)
    tokenizer = AutoTokenizer.from_pretrained(config.tokenizer)
    corpus = Corpus(config.corpus)
    run = Run(config.output, _settings(config), LOG)
    if run.finished():
        speaker(args)(f"{config.output} is finished already")
        return config.output
    with run.begin(args.should_save):
        _train(config, args, tokenizer, corpus, run)
    return config.output


def _train(
    config: PretrainConfig, args: TrainingArguments, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, run: Run
) -> None:
    report = speaker(args)
    with args.main_process_first(local=False):
        languages = [resolve_language(language) for language in config.languages] or None
        files = {split: corpus.files(split, languages) for split in ("train", "held_out")}
        if config.max_megabytes is not None:
            files["train"] = limit_languages(files["train"], config.max_megabytes, config.seed)
        files["train"] = mix_languages(files["train"], config.language_exponent, config.seed)
    native = is_native(config.init_from)
    if native and config.fixed_shapes:
        raise ValueError("fixed_shapes is for our own encoder, not for one that others have made: leave it out")
    model = initial_native_model(config, tokenizer, report) if native else initial_model(config, tokenizer)
    if config.steps == 0:
        if args.should_save:
            _write_untrained(model, tokenizer, run)
        return
    model.set_attn_implementation(config.attention)
    model.get_input_embeddings().requires_grad_(not config.freeze_token_embeddings)
    if config.head_only:
        if not native:
            raise ValueError(
                "head_only trains the head of an encoder that others have made; ours is tied: leave it out"
            )
        model.base_model.requires_grad_(False)
    checkpoint = begin_run(run.folder, run.settings, config.resume)
    with args.main_process_first(local=False):
        rows = {
            split: files[split].select_columns(TEXT_COLUMNS)
            if native
            else _prepared(config, tokenizer, run, files, split)
            for split in files
            if split == "train" or len(files[split])
        }
    train, evaluated = rows["train"], None
    if "held_out" in rows:
        evaluated = EpochStream(rows["held_out"], EVALUATION_SEED, min(len(rows["held_out"]), config.eval_rows))
    if evaluated is None:
        report(f"{config.corpus} has no held-out files: the model will not be evaluated")
        args.eval_strategy = IntervalStrategy.NO
    args.max_steps = config.steps or math.ceil((config.epochs or 0) * len(train) / config.batch_size) or UNBOUNDED
    peak = measured_peak(args.device, torch.bfloat16 if config.bf16 else torch.float32)
    report(
        f"Stage I: {model.num_parameters():,} parameters, {len(train):,} rows of {config.max_length} tokens, "
        f"{length_of(config, args.max_steps)} of {config.batch_size} rows, "
        f"peak {peak / 1e9:,.0f} GFLOP/s x {args.world_size}"
    )
    if config.fixed_shapes:
        dtype = torch.bfloat16 if config.bf16 else torch.float32
        kernel = takes_listed(model.config, args.device, dtype, training=True)
        report(f"Stage I: documents are told apart by {'a kernel for variable lengths' if kernel else 'masks'}")
    preemption = Preemption()
    callbacks = timekeepers(config, peak * args.world_size, preemption)
    trainer = DenoisingTrainer(
        model=model,
        args=args,
        data_collator=_collator(config, tokenizer, native),
        train_dataset=EpochStream(train, config.seed, args.max_steps * config.batch_size),
        eval_dataset=None if evaluated is None else {"random": evaluated, "identifier": evaluated},
        eval_collators=_evaluation_collators(config, tokenizer, native),
        compute_loss_func=masked_lm_loss if native else None,
        rows=len(train),
        callbacks=[*callbacks, SealedCheckpoints()],
    )
    # Processes must not draw the same dropout. A checkpoint brings the states of its own.
    torch.manual_seed(config.seed + args.process_index)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    preemption.leave(report)
    _write_model(trainer, tokenizer, run, peak)


def _training_arguments(config: PretrainConfig) -> TrainingArguments:
    settled = {
        "torch_compile": config.compile,
        "train_sampling_strategy": "sequential",
        "include_num_input_tokens_seen": "no",
        "remove_unused_columns": False,
        "label_names": ["labels"],
    }
    args = trainer_arguments(TrainingArguments, config, settled, COMPUTED)
    share, rest = divmod(config.batch_size, args.world_size)
    rows = min(config.device_batch_size, share)
    if rest or share % rows:
        raise ValueError(
            f"batch_size {config.batch_size} is not a multiple of device_batch_size {rows} x {args.world_size} devices"
        )
    args.per_device_train_batch_size = args.per_device_eval_batch_size = rows
    args.gradient_accumulation_steps = share // rows
    return args


def _settings(config: PretrainConfig) -> dict[str, Any]:
    """Everything that the result depends on. Data count by their contents, wherever they lie."""
    settings = deciding(config)
    settings["corpus"] = digest(*sorted(config.corpus.glob("files/*.parquet")), config.corpus / "held_out.json")
    settings["tokenizer"] = digest(config.tokenizer / "tokenizer.json")
    if config.init_from is not None:
        settings["init_from"] = digest(*sorted(local_folder(config.init_from).glob("*.safetensors")))
    return settings


def initial_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> CodeSageForMaskedLM:
    """Make the model of the first step: new weights out of the seed, or those of another folder."""
    set_seed(config.seed)
    vocabulary = len(tokenizer)
    if unknown := config.model.keys() - CodeSageConfig().to_dict().keys():
        raise ValueError(f"model: CodeSageConfig has no {', '.join(sorted(unknown))}")
    if config.preset is not None:
        fitted = {
            "vocab_size": vocabulary,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        model = CodeSageForMaskedLM(CodeSageConfig.from_preset(config.preset, **(fitted | config.model)))
    else:
        model_config = CodeSageConfig.from_pretrained(config.init_from, **config.model)
        model, info = CodeSageForMaskedLM.from_pretrained(
            config.init_from, config=model_config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        if missing := sorted(name for name in info["missing_keys"] if not _is_new(name, config)):
            raise ValueError(f"{config.init_from} has no weights for {', '.join(missing)}")
    if model.config.vocab_size < vocabulary:
        raise ValueError(f"{config.tokenizer} has {vocabulary} tokens, the model {model.config.vocab_size}")
    if model.config.max_position_embeddings < config.max_length:
        raise ValueError(f"max_length {config.max_length} is over the model's {model.config.max_position_embeddings}")
    return model


def _is_new(name: str, config: PretrainConfig) -> bool:
    """Whether a weight belongs to a block by which the model of `init_from` shall grow."""
    before = CodeSageConfig.from_pretrained(config.init_from).num_hidden_layers
    block = re.search(r"\bh\.(\d+)\.", name)
    return block is not None and int(block[1]) >= before


def _rows_origin(config: PretrainConfig, run: Run) -> str:
    """Return a hash of what the rows come from, without reading the corpus again."""
    origin = [run.settings[key] for key in ("corpus", "languages", "tokenizer", "max_length")]
    if config.language_exponent != 1:
        origin += [config.language_exponent, config.seed]
    if config.max_megabytes is not None:
        origin += [config.max_megabytes, config.seed, "limited"]
    return hashlib.sha256(repr(origin).encode()).hexdigest()[:16]


def _prepared(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerFast, run: Run, files: Mapping[str, Dataset], split: str
) -> Dataset:
    """Prepare the rows of our own encoder.

    Files are parsed in processes of their own: one that crashes or hangs a parser costs only its identifiers.
    """
    origin = _rows_origin(config, run)
    folder = (config.shards or run.folder / "shards") / origin / split
    return prepare_shards(files[split], tokenizer, config.max_length, folder, max(1, config.num_workers), origin)


def _collator(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast, native: bool) -> Callable[[list[Any]], Any]:
    masks: dict[str, Any] = {
        "deobfuscation_share": config.deobfuscation_share,
        "mask_rate": config.mask_rate
        if config.highest_mask_rate is None
        else (config.mask_rate, config.highest_mask_rate),
        "identifier_share": config.identifier_share,
        "random_share": config.random_share,
        "keep_share": config.keep_share,
    }
    if native:
        return text_collator(config, tokenizer, config.seed, **masks)
    # Compiled code is made for one shape.
    length = config.max_length if config.compile or config.fixed_shapes else None
    return IdentifierMaskingCollator(tokenizer, config.seed, length=length, listed=config.fixed_shapes, **masks)


def _evaluation_collators(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerFast, native: bool
) -> dict[str, Callable[[list[Any]], Any]]:
    """Make the collators of both evaluations; the one of identifiers leaves out documents that have none."""
    if native:
        return {
            "random": text_collator(config, tokenizer, EVALUATION_SEED, deobfuscation_share=0.0),
            "identifier": text_collator(config, tokenizer, EVALUATION_SEED, deobfuscation_share=1.0, mask_rate=0.0),
        }
    return {
        "random": IdentifierMaskingCollator(tokenizer, EVALUATION_SEED, deobfuscation_share=0.0),
        "identifier": partial(
            _identifier_masks, IdentifierMaskingCollator(tokenizer, EVALUATION_SEED, deobfuscation_share=1.0)
        ),
    }


def _identifier_masks(collator: IdentifierMaskingCollator, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Mask identifiers, and leave the random masks of documents without identifiers out of the labels."""
    batch = collator(rows)
    for labels, row in zip(batch["labels"], rows, strict=True):
        names = torch.from_numpy(row["identifier_ids"] != 0)
        labels[: len(names)][~names] = IGNORED
    return batch


def _mean_loss(prediction: EvalPrediction) -> dict[str, float]:
    """Divide the sums of `prediction_step`; files of which nothing could be parsed leave no label to predict."""
    labels = prediction.label_ids.sum()
    return {"loss": float(prediction.predictions.sum() / labels)} if labels else {}


def _write_model(trainer: DenoisingTrainer, tokenizer: PreTrainedTokenizerFast, run: Run, peak: float) -> None:
    """Write the model folder at once, by the main process."""
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.args.should_save:
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    log = record(trainer, model, peak)
    _write_folder(model, tokenizer, run, log, weights)
    losses = {key: value for entry in log["log"] for key, value in entry.items() if re.fullmatch("eval_.*_loss", key)}
    say(
        f"Stage I: {log['tokens']:,} tokens in {log['seconds']:.0f} s ({log['tokens_per_second']:,.0f} tokens/s, "
        f"MFU {log['mfu']:.1%}), {', '.join(f'{key} {value:.3f}' for key, value in losses.items())} -> {run.output}"
    )


def _write_untrained(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, run: Run) -> None:
    log = {"parameters": model.num_parameters(), "tokens": 0, "steps": 0, "log": []}
    _write_folder(model, tokenizer, run, log)
    say(f"Stage I: no step, {log['parameters']:,} parameters -> {run.output}")


def _write_folder(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    run: Run,
    log: dict[str, Any],
    weights: dict[str, Tensor] | None = None,
) -> None:
    forget_calls(tokenizer)
    with run.write(log) as folder:
        model.save_pretrained(folder, state_dict=weights)
        # A tokenizer for longer texts would let them past the model's last position.
        tokenizer.model_max_length = min(
            tokenizer.model_max_length, longest_document(model.config) or tokenizer.model_max_length
        )
        tokenizer.save_pretrained(folder)
