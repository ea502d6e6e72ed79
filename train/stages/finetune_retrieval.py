"""Fine-tuning for code search: texts and their answers get the same direction.

Contract: a `Task` for pairs of text and answer, or triplets with further negatives. It trains a SentenceTransformer
with the sentence-transformers trainer, by the loss of Stage II or by theirs; both take negatives from the batch, whose
memory is bounded by the gradient cache. Evaluations are searches among the held-out answers, as `evaluate` does them.

Invariant: no batch has a text or an answer twice: what is equal is no negative.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from open_codesage.modeling.auto_classes import name_classes
from open_codesage.tokenization.tokenizer import forget_calls
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import nn
from transformers import AutoModel, Trainer, TrainerCallback, TrainingArguments

from ..common.console import say
from ..common.static_model import LONGEST, static_tokenizer, unknown_token, write_static
from ..retrieval.encoder import cut_at, open_sentence_model
from ..retrieval.evaluator import SearchEvaluator
from ..retrieval.protocols import WordRanker, measure_task
from ..retrieval.task import ALL, pair_search
from .configs import FinetuneConfig
from .data.tables import is_corpus
from .finetune_task import Figures, Rows, Task, location, longest_input
from .lora import lora, merged
from .losses import HardNegativeContrastiveLoss
from .trainer import SentenceTrainer


class Retrieval(Task):
    """A SentenceTransformer that learns from pairs or triplets."""

    arguments = SentenceTransformerTrainingArguments
    settled: ClassVar[dict[str, Any]] = {"batch_sampler": "no_duplicates", "dataloader_drop_last": True}

    def __init__(self, config: FinetuneConfig, rows: Rows) -> None:
        self.config, self.rows, self.record = config, rows, {}
        self.model = open_sentence_model(location(config.model))
        if not isinstance(self.model[-1], Normalize):
            # Answers are found by cosine.
            self.model.append(Normalize())
            say(f"Fine-tuning: {config.model} does not normalize; normalization is added")
        self.is_static = isinstance(self.model[0], StaticEmbedding)
        if self.is_static:
            self._prepare_table()
            return
        encoder = self.model.transformers_model
        self.model.max_seq_length = longest_input(config, encoder.config, self.model.max_seq_length)
        if config.method == "lora":
            self.model.add_adapter(lora(encoder, config.lora_rank, "FEATURE_EXTRACTION"))

    def _prepare_table(self) -> None:
        """Cut where the readers of static models do, and keep the vector of the unknown token, see `static_model`."""
        config, table = self.config, self.model[0]
        if config.method == "lora":
            raise ValueError(
                f"{config.model} is a static model, which has no layers for an adapter: choose method full"
            )
        cut_at(self.model, min(config.max_length or LONGEST, LONGEST))
        unknown = unknown_token(table.tokenizer)
        if unknown is not None:
            row = torch.tensor([table.tokenizer.token_to_id(unknown)])
            table.embedding.weight.register_hook(lambda gradient: gradient.index_fill(0, row.to(gradient.device), 0))

    @staticmethod
    def columns(config: FinetuneConfig) -> tuple[list[str], list[str]]:
        """All columns hold texts."""
        columns = list(config.columns) or (["summary", "code"] if is_corpus(config.data) else ["text", "code"])
        if len(columns) < 2 or len(set(columns)) < len(columns):
            raise ValueError(f"retrieval needs a column of texts, one of answers and, if any, negatives, not {columns}")
        return columns, []

    def trainer(self, args: TrainingArguments, callbacks: list[TrainerCallback]) -> Trainer:
        """Make the trainer; columns get names that mean nothing to it."""
        names = ["text", "answer", *(f"negative {number}" for number in range(len(self.rows.train.column_names) - 2))]
        train = self.rows.train.rename_columns(dict(zip(self.rows.train.column_names, names, strict=True)))
        if any(self.model.prompts.values()):
            # As encode_query and encode_document put them, so that what is learnt is what is used.
            document = next(
                (self.model.prompts[n] for n in ("document", "passage", "corpus") if n in self.model.prompts), ""
            )
            args.prompts = dict.fromkeys(names, document) | {"text": self.model.prompts.get("query", "")}
        return SentenceTrainer(
            model=self.model,
            args=args,
            train_dataset=train,
            loss=self._loss(gather=args.world_size > 1),
            evaluator=self._search(self.rows.evaluation),
            callbacks=callbacks,
        )

    def baselines(self, rows: Dataset) -> Figures:
        """Measure BM25 and the model as it is."""
        search = self._search(rows)
        words = measure_task(search.task, WordRanker(search.task))["full"][ALL]
        return {"BM25": words, "base model": search(self.model)}

    def measure(self, trainer: Trainer, rows: Dataset) -> dict[str, float]:
        """Search with the trained model."""
        return self._search(rows)(self.model)

    def save(self, trainer: Trainer, folder: Path) -> None:
        """Write a SentenceTransformer folder."""
        if self.is_static:
            rows = self.model[0].embedding.weight.detach().half().cpu().numpy()
            write_static(folder, static_tokenizer(self.model[0].tokenizer.to_str()), rows)
        else:
            _save(self.model, folder)

    @staticmethod
    def merge(adapter: Path, folder: Path) -> None:
        """Put the merged encoder in the place of encoder and adapter."""
        model = open_sentence_model(str(adapter))
        model[0].model = merged(adapter, AutoModel)
        _save(model, folder)

    def _search(self, rows: Dataset) -> SearchEvaluator:
        texts, answers, *negatives = (rows[column][:] for column in rows.column_names)
        others = [text for column in negatives for text in column]
        return SearchEvaluator(pair_search(texts, answers, others), self.config.batch_size)

    def _loss(self, gather: bool) -> nn.Module:
        config, scale = self.config, 1 / self.config.temperature
        if self.is_static:  # which fits into memory whole, and takes no mini-batches
            config = replace(config, mini_batch_size=None)
        if config.loss == "ours":
            return HardNegativeContrastiveLoss(
                self.model,
                config.temperature,
                mini_batch_size=config.mini_batch_size,
                gather_across_devices=gather,
            )
        if config.mini_batch_size is None:
            return MultipleNegativesRankingLoss(self.model, scale, gather_across_devices=gather)
        return CachedMultipleNegativesRankingLoss(
            self.model, scale, mini_batch_size=config.mini_batch_size, gather_across_devices=gather
        )


def _save(model: SentenceTransformer, folder: Path) -> None:
    encoder = model.transformers_model
    name_classes(encoder.config)
    forget_calls(model.tokenizer)
    model.save_pretrained(str(folder), create_model_card=False)
