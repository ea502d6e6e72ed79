"""Distillation into a static encoder: a table of token vectors, whose mean over a text is the text's embedding.

Contract: from a teacher and a corpus folder to a folder of `common.static_model`, which sentence-transformers,
model2vec and `AutoModel` open. Its tokenizer is the teacher's, widened by the words that are frequent in the corpus: a
word of its own is worth more to a table than the mean of its pieces. The table starts with what the teacher makes of
each token alone, and learns from the pairs and from the teacher's similarities.

Invariants: the result is a function of the settings, the teacher and the data. The teacher embeds every token and every
form of a pair once; what an interrupted run has prepared is kept. The unknown token has a vector of zeros, so readers
that leave it out get the same direction.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.trainers import WordLevelTrainer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerFast

from ..common.config import deciding
from ..common.console import say
from ..common.fingerprint import digest
from ..common.identity import identify
from ..common.output import LOG
from ..common.randomness import permutation
from ..common.run import Run, reset_unless_same
from ..common.static_model import static_tokenizer, unknown_token, write_static
from ..corpus.corpus import Corpus
from ..corpus.mixture import mix_languages
from ..retrieval.encoder import Encoder
from ..retrieval.protocols import EmbeddingRanker, measure_task
from ..retrieval.task import ALL, held_out_search
from .callbacks.stopping import require_finite
from .configs import DistillConfig
from .data.batches import LANGUAGE, PairBatchSampler, PairCollator, without_name
from .distillation import TEMPERATURE, TeacherVectors, similarity_distance
from .losses import HardNegativeContrastiveLoss

_RARE = 1e-4
"""A token of this frequency starts with half of its teacher's vector (SIF; Arora et al., ICLR 2017)."""


class Table(nn.Module):
    """Token vectors, and their means.

    Args:
        rows: the vectors at first, [V, D].
    """

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(rows)

    def forward(self, ids: Tensor, starts: Tensor) -> Tensor:
        """Embed texts whose tokens lie end to end.

        Args:
            ids: tokens of all texts, [N].
            starts: where each text begins, [B].

        Returns:
            [B, D]
        """
        return F.embedding_bag(ids, self.embeddings, starts, mode="mean")


class Tokens:
    """The tokens of many texts, end to end.

    Args:
        rows: the token ids of each text.
    """

    def __init__(self, rows: list[list[int]]) -> None:
        self.ids = np.fromiter((token for row in rows for token in row), np.int32)
        self.ends = np.cumsum([0, *map(len, rows)])

    def take(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """The tokens of some texts, [N] int64, and where each begins, [B] int64."""
        lengths = self.ends[rows + 1] - self.ends[rows]
        starts = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self.ends[rows] - starts, lengths)
        ids = torch.from_numpy(self.ids[places].astype(np.int64))
        return ids.to(device, non_blocking=True), torch.from_numpy(starts).to(device, non_blocking=True)


def main(config: DistillConfig) -> Path:
    """Distil a static encoder, or find that it is finished.

    Returns:
        The SentenceTransformer folder, `config.output`.

    Raises:
        ValueError: the teacher cannot be opened or its tokenizer not widened, the corpus fills no batch, or the
            training diverges.
    """
    settings = deciding(config)
    settings["corpus"] = digest(*sorted(config.corpus.glob("functions/*.parquet")), config.corpus / "held_out.json")
    settings["teacher"] = identify(config.teacher).hash
    run = Run(config.output, settings, LOG)
    if run.finished():
        say(f"{config.output} is finished already")
        return config.output
    with run.begin():
        _distil(config, run)
    return config.output


def _distil(config: DistillConfig, run: Run) -> None:
    device = torch.device(torch.accelerator.current_accelerator() or "cpu")
    torch.manual_seed(config.seed)
    corpus = Corpus(config.corpus)
    pairs = mix_languages(corpus.functions("train"), config.language_exponent, config.seed)
    nameless = list(map(without_name, pairs["summary"], pairs["name"]))
    columns = ["summary", "documentation", "code", "hard_positive", LANGUAGE]
    pairs = pairs.select_columns(columns).add_column("nameless_summary", nameless)
    batches = PairBatchSampler(pairs.remove_columns("documentation"), config.batch_size, seed=config.seed, processes=1)
    folder = reset_unless_same(run.folder, run.settings)
    encoder = Encoder(config.teacher, batch_size=256, show_progress=False)
    width = config.dimensions or encoder.model.get_embedding_dimension()
    if any(dim >= width for dim in config.matryoshka_dims):
        raise ValueError(
            f"matryoshka_dims are {config.matryoshka_dims}: give some below {width}, the table's dimensions"
        )
    tokenizer = widened(encoder.model.tokenizer, pairs, config.vocabulary)
    texts, codes, vectors = _prepared(config, pairs, tokenizer, encoder, folder)
    counts = np.bincount(np.concatenate([side.ids for side in (*texts, *codes)]), minlength=tokenizer.get_vocab_size())
    alone = _token_vectors(tokenizer, encoder, folder / "tokens.npy")
    table = Table(_first_rows(alone, counts, config.dimensions)).to(device)
    say(f"Distillation: a table of {' x '.join(map(str, table.embeddings.shape))}, {len(pairs):,} pairs")
    log = list(_train(config, table, batches, texts, codes, vectors, device))
    rows = table.embeddings.detach().cpu()
    if (unknown := unknown_token(tokenizer)) is not None:
        rows[tokenizer.token_to_id(unknown)] = 0
    found = _held_out_mrr(config, corpus, tokenizer, rows)
    teacher = Path(config.teacher).name if Path(config.teacher).is_dir() else config.teacher
    record = {"log": log, "held_out_mrr": found, "pairs": len(pairs), "device": str(device), "teacher": teacher}
    with run.write(record | {"steps": log[-1]["step"], "seconds": log[-1]["seconds"]}) as output:
        write_static(output, tokenizer, rows.half().numpy())
    say(f"Distillation: held-out MRR {found:.1f} %, {config.output}")


def widened(tokenizer: Any, pairs: Dataset, size: int) -> Tokenizer:
    """A WordPiece tokenizer with the most frequent words of a corpus that it splits, and without special tokens.

    Args:
        tokenizer: the teacher's, of transformers.
        pairs: rows with code and documentation.
        size: tokens that it has then, if there are so many words; those of the teacher all stay.

    Raises:
        ValueError: it is no WordPiece tokenizer, whose words can be added to without changing the others.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"the teacher's tokenizer is a {type(tokenizer).__name__}: only a fast WordPiece can be widened"
        )
    backend = tokenizer.backend_tokenizer
    data = json.loads(backend.to_str())
    if data["model"]["type"] != "WordPiece":
        raise ValueError(
            f"the teacher's tokenizer is {data['model']['type']}: only WordPiece can be widened, such as that of MiniLM"
        )
    vocabulary: dict[str, int] = data["model"]["vocab"]
    # A token that was added later has an id behind the vocabulary, where the new words go.
    vocabulary |= {token["content"]: token["id"] for token in data["added_tokens"]}
    words = Tokenizer(WordLevel(unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    trainer = WordLevelTrainer(vocab_size=size + len(vocabulary), min_frequency=5, show_progress=False)
    texts = (text for rows in pairs.iter(1000) for name in ("code", "documentation") for text in rows[name])
    words.train_from_iterator(texts, trainer)
    for word, _ in sorted(words.get_vocab().items(), key=lambda item: item[1]):
        if len(vocabulary) >= size:
            break
        if word.isalnum():
            vocabulary.setdefault(word, len(vocabulary))
    return static_tokenizer(json.dumps(data))


def _prepared(
    config: DistillConfig, pairs: Dataset, tokenizer: Tokenizer, encoder: Encoder, folder: Path
) -> tuple[list[Tokens], list[Tokens], list[Tensor]]:
    """For each variant of the pairs' forms: the tokens of texts and codes, and the teacher's vectors [pairs, 2, D]."""
    texts: list[Tokens] = []
    codes: list[Tokens] = []
    vectors: list[Tensor] = []
    longest = encoder.lengths["document"] or config.code_max_length
    encoder.lengths = {"query": min(config.text_max_length, longest), "document": min(config.code_max_length, longest)}
    for variant in range(config.variants):
        collator = PairCollator(
            dict,  # Nothing is tokenized here; unlike a lambda it can be sent to other processes.
            config.text_max_length,
            config.code_max_length,
            config.hard_positive_share,
            config.seed,
            config.name_mask_share,
            config.documentation_share,
            question_share=config.question_share,
            obfuscated_share=config.obfuscated_share,
            epoch=variant,
        )
        forms = pairs.map(
            _Forms(collator), num_proc=config.num_workers or None, remove_columns=pairs.column_names, desc="Forms"
        )
        sides = forms["text"][:], forms["code"][:]
        for tokens, side, length in zip(
            (texts, codes), sides, (config.text_max_length, config.code_max_length), strict=True
        ):
            tokens.append(Tokens([ids[:length] for ids in _token_ids(tokenizer, side)]))
        if config.teacher_share:
            rows = list(dict.fromkeys(zip(*sides, strict=True)))
            with torch.autocast("cuda", torch.bfloat16, enabled=encoder.model.device.type == "cuda"):
                found = TeacherVectors(folder / f"teacher-{variant}.npy", rows, encoder.embed)
            vectors.append(found(*sides).half())
    return texts, codes, vectors


class _Forms:
    """Gives a row the form of its text and its code; can be sent to other processes."""

    def __init__(self, collator: PairCollator) -> None:
        self.collator = collator

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        return {"text": self.collator.text(row), "code": self.collator.code(row)}


def _token_ids(tokenizer: Tokenizer, texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + 10_000], add_special_tokens=False):
            yield encoding.ids


def _token_vectors(tokenizer: Tokenizer, encoder: Encoder, file: Path) -> Tensor:
    """What the teacher makes of each token alone, [V, D]; read back if the file is there."""
    if not file.is_file():
        prefix = tokenizer.model.continuing_subword_prefix
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        rows = encoder.embed([word.removeprefix(prefix) for word, _ in vocabulary], "document")
        with file.with_suffix(".new").open("wb") as new:
            np.save(new, rows.numpy())
        file.with_suffix(".new").rename(file)
    return torch.from_numpy(np.load(file))


def _first_rows(alone: Tensor, counts: NDArray[np.int64], dimensions: int | None) -> Tensor:
    """The teacher's vector of each token, shorter the more frequent it is; noise in further dimensions."""
    rows = F.normalize(alone, dim=1)
    rows = F.normalize(rows - rows.mean(dim=0), dim=1)
    width = dimensions or rows.shape[1]
    if width > rows.shape[1]:
        more = torch.randn(len(rows), width - rows.shape[1]) / math.sqrt(rows.shape[1])
        rows = torch.cat([rows, more], dim=1)
    frequency = torch.from_numpy((counts / counts.sum()).astype(np.float32))
    return (F.normalize(rows[:, :width], dim=1) * (_RARE / (_RARE + frequency))[:, None]).contiguous()


def _train(
    config: DistillConfig,
    table: Table,
    batches: PairBatchSampler,
    texts: list[Tokens],
    codes: list[Tokens],
    vectors: list[Tensor],
    device: torch.device,
) -> Iterator[dict[str, float]]:
    """Train the table, and give the entries of the log."""
    loss = HardNegativeContrastiveLoss(table, temperature=config.temperature, gamma="none", mini_batch_size=None)
    distance = DistillKLDivLoss(table, temperature=TEMPERATURE)
    optimizer = torch.optim.Adam(table.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
    steps = max(1, round(config.epochs * len(batches)))
    warmup = max(1, round(config.warmup_share * steps))
    start, means = time.monotonic(), torch.zeros(2, device=device)
    for step in (bar := tqdm(range(steps), desc="Distillation", mininterval=1)):
        epoch, place = divmod(step, len(batches))
        if place == 0:
            batches.set_epoch(epoch)
            order = batches.global_batches()
        rows, variant = order[place], epoch % config.variants
        rate = min((step + 1) / warmup, (steps - step) / (steps - warmup + 1))
        optimizer.param_groups[0]["lr"] = config.learning_rate * rate
        taken = [side[variant].take(rows, device) for side in (texts, codes)]
        sides = [table(*_dropped(ids, starts, config.token_dropout)) for ids, starts in taken]
        parts = [
            loss.calculate_loss([[side[:, :width]] for side in sides])
            for width in (table.embeddings.shape[1], *config.matryoshka_dims)
        ]
        total = (1 - config.teacher_share) * torch.stack(parts).mean()
        far = total.new_zeros(())
        if config.teacher_share:
            theirs = vectors[variant][torch.from_numpy(rows)].to(device, non_blocking=True).float()
            far = similarity_distance(distance, sides, theirs.unbind(dim=1))
            total = total + config.teacher_share * far
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        means += torch.stack([parts[0].detach(), far.detach()])
        if (step + 1) % config.logging_steps == 0 or step + 1 == steps:
            done = (step % config.logging_steps) + 1
            pair_loss, teacher_loss = (means / done).tolist()
            means.zero_()
            bar.set_postfix(loss=f"{pair_loss:.3f}", teacher=f"{teacher_loss:.3f}")
            entry = {"step": step + 1, "loss": pair_loss, "teacher_loss": teacher_loss}
            require_finite(entry, step + 1)
            yield entry | {"seconds": time.monotonic() - start}


def _dropped(ids: Tensor, starts: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Leave tokens out by chance; the first of a text stays, if it has any."""
    if not share:
        return ids, starts
    kept = torch.rand(ids.shape, device=ids.device) >= share
    kept[starts[starts < len(ids)]] = True
    before = F.pad(kept.cumsum(0), (1, 0))
    return ids[kept], before[starts]


def _held_out_mrr(config: DistillConfig, corpus: Corpus, tokenizer: Tokenizer, rows: Tensor) -> float:
    """MRR in percent of the search for held-out functions by their summaries."""
    held_out = corpus.functions("held_out")
    if not len(held_out):
        return math.nan
    table = Table(rows)

    def embed(texts: list[str]) -> Tensor:
        tokens = Tokens(list(_token_ids(tokenizer, texts)))
        with torch.inference_mode():
            return F.normalize(table(*tokens.take(np.arange(len(texts)), torch.device("cpu"))), dim=1)

    task = held_out_search(held_out.select(permutation(config.seed, len(held_out))[: config.eval_pairs]))
    ranker = EmbeddingRanker(embed(task.query_texts), embed(task.document_texts))
    return measure_task(task, ranker)["full"][ALL]["mrr"]
