"""The settings of the training commands, each checked when it is made.

Contract: a config that exists is valid in itself; whether it fits the folders that it names is for its command to find
out. Importing this module loads neither torch nor transformers.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from open_codesage.tokenization.languages import resolve_language

from ..common.checks import require_one, require_positive, require_range, require_share


@dataclass(frozen=True)
class ConsistencyConfig:
    """Keep the training pairs of a corpus whose function an encoder finds by its summary.

    Version 2 of CodeSage keeps a pair when its function is among the first 3 of 100,000 sampled ones, by an encoder
    trained for one epoch on the unfiltered pairs, and drops two fifths so.

    Attributes:
        corpus: the corpus folder to filter.
        model: encoder folder or Hub id; one that `contrast` has trained for an epoch on these pairs.
        output: the corpus folder to write; it must not exist yet.
        top_k: keep a pair when at most this many functions, itself included, are as near to its summary.
        sample: how many functions to compare with; all if there are fewer.
        max_length: longest input in tokens, cut beyond; what the model was made for if none.
        batch_size: texts per batch.
        seed: seed of the sample.
    """

    corpus: Path
    model: str
    output: Path
    top_k: int = 3
    sample: int = 100_000
    max_length: int | None = None
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        require_range(self, "top_k", "sample", "max_length", "batch_size", at_least=1)


@dataclass(frozen=True)
class ContrastConfig:
    """Train an encoder by contrastive learning on pairs of summary and function (Stage II).

    The paper (Table 5 and section 3.2) gives 20,000 steps of 8,192 pairs, 500 steps of warm-up, a learning rate of 5e-6
    and a temperature of 0.05, with a hard positive in every pair; these are the defaults. It is silent on the lengths,
    the optimizer, and two points of the weights of hard negatives, for which both readings are options.

    Attributes:
        model: what to start from, a folder or Hub id: an encoder of `pretrain`, or any other with weights in
            safetensors, or a SentenceTransformer, whose pooling, prompts and normalization are kept.
        corpus: folder written by `extract`; its held-out functions are used for the evaluation only.
        output: the SentenceTransformer folder to write; it must not exist, unless the same run has written it.
        steps: optimizer steps; give these or epochs.
        epochs: passes over the pairs; give these or steps.
        max_minutes: train for so long, in place of steps or epochs; evaluating and saving come on top. The learning
            rate follows the clock: warm-up, constant, and a fall to 0 over the last share. Once it has finished, remove
            the output and give more minutes: the run resumes from before the fall.
        decay_share: with max_minutes, the last share of the time, in which the learning rate falls to 0.
        languages: languages to train on; all of the corpus if not given.
        language_exponent: a language of n rows is drawn in proportion to n to this power: 1 is as the corpus has it, 0
            is as often as any other; of rare languages rows are repeated.
        batch_size: pairs in a batch, over all devices; each pair's negatives are all others of them.
        mini_batch_size: rows that go through the encoder at once, on each device; memory depends on this and not on
            batch_size. none takes the whole batch, which saves a quarter of the time where it fits.
        pooling: how token states become an embedding; as the model says, or the mean if it does not, unless given.
        text_max_length: tokens to which summaries are cut.
        code_max_length: tokens to which functions are cut, also by the trained model.
        one_language_batches: no batch mixes languages.
        hard_positive_share: share of pairs whose function is without its signature and return statements.
        name_mask_share: share of pairs whose summary loses the function's own name at its beginning, as usual in Go
            ("NewSet creates a set"), so that the name alone does not tell the function.
        documentation_share: share of pairs whose text is the whole documentation and not its first sentence, as long as
            text_max_length allows; the paper has none.
        question_share: share of pairs whose text, whichever it is, is put as people type a question: no full stop,
            often no articles, and often the language's name or "how to".
        obfuscated_share: share of pairs whose function loses the names that its author chose, for v0, v1 and so on.
        unimodal_share: share of pairs of a function without those names, in place of the text and as long as that may
            be, and the function with them: search by code, across languages and names, learns from these.
        token_dropout: share of tokens that are left out of texts and functions, anew at every step; the first stays.
        share_spellings: spellings of a word ("Index", " index", "_INDEX") start with one vector, and each also learns
            from the gradients of the others.
        learning_rate: highest learning rate.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        schedule: the way down after the warm-up, unless max_minutes sets it.
        weight_decay: weight decay of AdamW, on weight matrices.
        max_grad_norm: norm to which gradients are clipped; 0 does not clip.
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
        teacher: folder or Hub id of an encoder whose similarities between the vectors of a batch are learnt, too; it
            may have other dimensions. What it makes of the pairs is computed once, before the first step.
        teacher_share: what the teacher's similarities count; the pairs count the rest.
        seed: seed of the batches, the forms of the pairs and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        attention: how transformers attends; eager is the slow reference.
        save_steps: steps between checkpoints.
        eval_steps: steps between evaluations; only at the end if not given.
        eval_pairs: search among at most this many held-out functions in an evaluation.
        logging_steps: steps between log lines.
        num_workers: processes that tokenize batches for each device; 0 works in the main process.
        resume: resume from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for sentence-transformers' SentenceTransformerTrainingArguments, key=value.
    """

    compared: ClassVar[tuple[str, ...]] = ("pairs", "loss", "gamma_gradient", "hardness_mode", "hardness_strength")
    free: ClassVar[tuple[str, ...]] = (
        "output", "resume", "save_steps", "eval_steps", "eval_pairs", "logging_steps", "num_workers", "attention",
    )  # fmt: skip

    model: Path
    corpus: Path
    output: Path
    steps: int | None = None
    epochs: float | None = None
    max_minutes: float | None = None
    decay_share: float = 0.2
    languages: tuple[str, ...] = ()
    language_exponent: float = 1.0
    batch_size: int = 8192
    mini_batch_size: int | None = 32
    pooling: Literal["mean", "cls"] | None = None
    text_max_length: int = 256
    code_max_length: int = 1024
    one_language_batches: bool = True
    hard_positive_share: float = 1.0
    name_mask_share: float = 0.5
    documentation_share: float = 0.0
    question_share: float = 0.0
    obfuscated_share: float = 0.0
    unimodal_share: float = 0.0
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
    teacher: str | None = None
    teacher_share: float = 0.5
    seed: int = 0
    bf16: bool = False
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "sdpa"
    save_steps: int = 1000
    eval_steps: int | None = None
    eval_pairs: int = 1000
    logging_steps: int = 10
    num_workers: int = 0
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_one(self, "steps", "epochs", "max_minutes")
        require_positive(
            self, "steps", "epochs", "max_minutes", "mini_batch_size", "text_max_length", "code_max_length",
            "save_steps", "eval_steps", "eval_pairs", "logging_steps", "learning_rate", "temperature",
        )  # fmt: skip
        # A pair's negatives are the others of its batch.
        require_range(self, "batch_size", at_least=2)
        require_range(
            self,
            "warmup_steps",
            "weight_decay",
            "max_grad_norm",
            "language_exponent",
            "hardness_strength",
            "num_workers",
            at_least=0,
        )
        require_range(self, "matryoshka_dims", at_least=1)
        require_share(
            self, "hard_positive_share", "name_mask_share", "documentation_share", "question_share", "obfuscated_share",
            "unimodal_share", "teacher_share",
        )  # fmt: skip
        require_range(self, "token_dropout", at_least=0, below=1)
        if self.gamma_gradient and self.gamma == "none":
            raise ValueError("gamma_gradient needs weights to go through: choose gamma sum or mean")
        if self.loss == "ours" and self.hardness_mode is not None:
            raise ValueError("hardness_mode is an option of loss mnrl: the weights of our loss are set by gamma")
        if self.teacher is not None and (self.loss != "ours" or self.pairs != "bimodal"):
            raise ValueError("a teacher needs loss ours and bimodal pairs")
        if self.teacher is not None and self.max_minutes is not None:
            raise ValueError("a teacher's vectors are prepared for a known number of steps: give steps or epochs")


@dataclass(frozen=True)
class DistillConfig:
    """Distil an encoder into a static one: a table of token vectors, a thousand times as fast and as small as you like.

    Attributes:
        teacher: folder or Hub id of an encoder with a WordPiece tokenizer.
        corpus: folder written by `extract`; its held-out functions are used for the evaluation only.
        output: the SentenceTransformer folder to write; it must not exist, unless the same run has written it.
        vocabulary: tokens of the table: those of the teacher, and the words that are most frequent in the corpus.
        dimensions: width of the table; that of the teacher if not given.
        epochs: passes over the pairs.
        variants: epochs whose pairs have forms of their own, which the teacher embeds; later ones repeat them.
        language_exponent: see `contrast`, as for all shares of forms.
        batch_size: pairs in a batch; each pair's negatives are all others of it.
        text_max_length: tokens to which texts are cut in training.
        code_max_length: tokens to which functions are cut in training.
        hard_positive_share: share of pairs whose function is without its signature and return statements.
        name_mask_share: share of pairs whose summary loses the function's own name at its beginning.
        documentation_share: share of pairs whose text is the whole documentation.
        question_share: share of pairs whose text is put as people type a question.
        obfuscated_share: share of pairs whose function loses the names that its author chose.
        token_dropout: share of tokens that are left out, anew at every step.
        teacher_share: what the teacher's similarities count; the pairs count the rest.
        temperature: divides the cosines of the pairs.
        matryoshka_dims: also train the first dimensions of the embedding alone.
        learning_rate: highest learning rate, of Adam.
        warmup_share: share of the steps in which the learning rate rises; it falls to 0 in the others.
        eval_pairs: search among at most this many held-out functions at the end.
        seed: seed of the batches, the forms of the pairs and what is left out.
        logging_steps: steps between entries of the log.
        num_workers: processes that make the forms of the pairs; 0 works in the main process.
    """

    free: ClassVar[tuple[str, ...]] = ("output", "num_workers", "logging_steps")

    teacher: str
    corpus: Path
    output: Path
    vocabulary: int = 65_536
    dimensions: int | None = None
    epochs: float = 10.0
    variants: int = 2
    language_exponent: float = 1.0
    batch_size: int = 1024
    text_max_length: int = 64
    code_max_length: int = 256
    hard_positive_share: float = 0.2
    name_mask_share: float = 0.5
    documentation_share: float = 0.1
    question_share: float = 0.25
    obfuscated_share: float = 0.1
    token_dropout: float = 0.2
    teacher_share: float = 0.5
    temperature: float = 0.05
    matryoshka_dims: tuple[int, ...] = ()
    learning_rate: float = 3e-3
    warmup_share: float = 0.05
    eval_pairs: int = 1000
    seed: int = 0
    logging_steps: int = 50
    num_workers: int = 0

    def __post_init__(self) -> None:
        require_positive(
            self, "dimensions", "epochs", "text_max_length", "code_max_length", "temperature", "learning_rate",
            "eval_pairs", "logging_steps",
        )  # fmt: skip
        require_range(self, "batch_size", at_least=2)
        require_range(self, "vocabulary", "variants", "matryoshka_dims", at_least=1)
        require_range(self, "language_exponent", "num_workers", at_least=0)
        require_share(
            self, "hard_positive_share", "name_mask_share", "documentation_share", "question_share", "obfuscated_share",
            "teacher_share", "warmup_share",
        )  # fmt: skip
        require_range(self, "token_dropout", at_least=0, below=1)


METRICS = {"retrieval": ("mrr", "recall@10"), "classification": ("macro_f1", "accuracy")}
"""Of each task the metrics, in percent; the first chooses the best checkpoint unless told."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune a model on pairs, triplets or labelled texts, in full or by a LoRA adapter.

    Attributes:
        model: model folder or Hub id to start from; also a folder of pretrain, contrast or export.
        data: rows to learn from: a csv, jsonl or parquet file (also .gz), a corpus folder of extract (its held-out
            functions stay unseen), or a dataset id of the Hub, with a split other than train as USER/NAME:SPLIT.
        output: the model folder to write; it must not exist, unless the same run has written it.
        task: what to learn: retrieval from pairs or triplets, or classification of texts.
        eval_data: rows for the evaluations, as data (split of a Hub id if not named: validation); a share of data is
            held out if not given.
        eval_share: the share of rows that is held out of data if eval_data is not given.
        group_column: rows with the same value here are held out together, for example all of a module; equal texts
            are in any case. In a corpus folder: unit, if not given.
        test_data: rows to measure the finished model on, once (split of a Hub id if not named: test).
        columns: for retrieval the names of text, answer and, for triplets, negatives (default: text code, in a corpus
            folder summary code); for classification those of text and label (default: text label).
        method: train all weights, or a LoRA adapter, a small addition to the attention and feed-forward projections.
        lora_rank: rank of the adapter's matrices; their product is scaled by two.
        merge: with method lora, also write the whole model, adapter merged in, to OUTPUT.merged.
        loss: for retrieval, the loss of contrast (hard negatives weigh more), or the MultipleNegativesRankingLoss of
            sentence-transformers.
        temperature: divides the cosines in either loss.
        epochs: passes over the rows.
        steps: optimizer steps, in place of epochs.
        batch_size: rows in a batch, over all devices; in retrieval each row's negatives are the others.
        mini_batch_size: retrieval: rows that go through the encoder at once; memory depends on this and not on
            batch_size. none takes the whole batch, which saves a quarter of the time where it fits.
        max_length: tokens to which texts are cut; as long as the model takes if not given.
        learning_rate: highest learning rate, of a linear schedule.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        eval_steps: steps between evaluations, each with a checkpoint; once in an epoch if not given.
        patience: stop after so many evaluations without a better one; never if none.
        metric: what chooses the best checkpoint: mrr or recall@10, macro_f1 or accuracy; the first of the task's if
            not given.
        seed: seed of the held-out rows, the new weights, the batches and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        resume: resume from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for the TrainingArguments of transformers or, for retrieval, those of
            sentence-transformers, key=value.
    """

    free: ClassVar[tuple[str, ...]] = ("output", "resume", "merge")

    model: str
    data: str
    output: Path
    task: Literal["retrieval", "classification"]
    eval_data: str | None = None
    eval_share: float = 0.1
    group_column: str | None = None
    test_data: str | None = None
    columns: tuple[str, ...] = ()
    method: Literal["full", "lora"] = "full"
    lora_rank: int = 16
    merge: bool = False
    loss: Literal["ours", "mnrl"] = "ours"
    temperature: float = 0.05
    epochs: float = 3.0
    steps: int | None = None
    batch_size: int = 32
    mini_batch_size: int | None = 32
    max_length: int | None = None
    learning_rate: float = 5e-5
    warmup_steps: float = 0.1
    eval_steps: int | None = None
    patience: int | None = 3
    metric: Literal["mrr", "recall@10", "macro_f1", "accuracy"] | None = None
    seed: int = 0
    bf16: bool = False
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive(
            self, "lora_rank", "temperature", "epochs", "steps", "mini_batch_size", "max_length", "eval_steps",
            "learning_rate",
        )  # fmt: skip
        require_range(self, "warmup_steps", at_least=0)
        require_range(self, "patience", at_least=1)
        require_range(self, "batch_size", at_least=2 if self.task == "retrieval" else 1)
        require_range(self, "eval_share", above=0, at_most=0.5)
        if self.merge and self.method != "lora":
            raise ValueError("merge needs an adapter: choose method lora")
        if self.metric is not None and self.metric not in METRICS[self.task]:
            raise ValueError(f"{self.metric} is no metric of {self.task}: choose {' or '.join(METRICS[self.task])}")


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
        max_minutes: train for so long, in place of steps or epochs; evaluating and saving come on top. The learning
            rate follows the clock: warm-up, constant, and a fall to 0 over the last share. Once it has finished, remove
            the output and give more minutes: the run resumes from before the fall.
        decay_share: with max_minutes, the last share of the time, in which the learning rate falls to 0.
        preset: size of a new model (nano, small, base, large); give this or init_from.
        model: single settings of the model that differ from the preset, key=value, for example hidden_size=128.
        init_from: model folder or Hub id whose weights to start from, instead of new ones: our own encoder, or any
            masked language model of transformers, with its own tokenizer as tokenizer. Ours grows with a larger
            num_hidden_layers in model: the blocks that the folder lacks are new.
        head_only: train the prediction head of such a language model alone, where its checkpoint has none.
        freeze_token_embeddings: freeze the token embeddings, for example those of an earlier run.
        languages: languages to train on; all of the corpus if not given.
        language_exponent: a language of n rows is drawn in proportion to n to this power: 1 is as the corpus has it, 0
            is as often as any other; of rare languages rows are repeated.
        max_megabytes: text to take of each language, files chosen by chance; all if not given.
        max_length: tokens in a row; files are packed into rows, and do not see each other there. Encoders that cannot
            keep them apart get a file a row, of a long one another part in each epoch.
        batch_size: rows for an optimizer step, over all devices.
        device_batch_size: rows that go through the model at once, on each device; gradients are accumulated.
        learning_rate: highest learning rate.
        warmup_steps: steps of linear warm-up; a number below 1 is a share of all steps.
        schedule: the way down after the warm-up, unless max_minutes sets it.
        weight_decay: weight decay of AdamW, on weight matrices.
        max_grad_norm: norm to which gradients are clipped; 0 does not clip.
        deobfuscation_share: share of documents whose identifiers are masked; the others have random masks.
        mask_rate: share of tokens to mask at random.
        highest_mask_rate: if given, each document draws its own rate between mask_rate and this.
        identifier_share: share of a document's names to mask for deobfuscation.
        random_share: share of the masked tokens that become a random token instead of the mask token.
        keep_share: share of the masked tokens that stay as they are.
        seed: seed of the weights, the order of rows, the masks and the dropout.
        bf16: compute in bfloat16 where precision allows; slow on most CPUs.
        compile: compile the model with torch.compile.
        fixed_shapes: give all batches one shape, and let the loader list their documents and the positions to predict,
            so that an accelerator waits for nothing. Documents are told apart by torch's kernel for variable lengths
            where it can compute (CUDA, bf16, no attention dropout: model attention_dropout_prob=0), else by masks.
        attention: how transformers attends; eager is the slow reference.
        save_steps: steps between checkpoints.
        eval_steps: steps between evaluations; only at the end if not given.
        eval_rows: at most this many held-out rows are evaluated.
        logging_steps: steps between log lines.
        num_workers: processes that prepare rows, and that load batches for each device; 0 works in the main process.
        shards: folder for the prepared rows, for use by several runs; inside `<output>.run` if not given.
        resume: resume from the newest complete checkpoint of an earlier start, if there is one.
        trainer: further arguments for transformers' TrainingArguments, key=value.
    """

    compared: ClassVar[tuple[str, ...]] = ("highest_mask_rate", "identifier_share", "random_share", "keep_share")
    free: ClassVar[tuple[str, ...]] = (
        "output", "shards", "resume", "save_steps", "eval_steps", "eval_rows", "logging_steps", "num_workers",
        "device_batch_size", "compile", "fixed_shapes", "attention",
    )  # fmt: skip

    corpus: Path
    tokenizer: Path
    output: Path
    steps: int | None = None
    epochs: float | None = None
    max_minutes: float | None = None
    decay_share: float = 0.2
    preset: Literal["nano", "small", "base", "large"] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    init_from: Path | None = None
    head_only: bool = False
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
    fixed_shapes: bool = False
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "sdpa"
    save_steps: int = 1000
    eval_steps: int | None = None
    eval_rows: int = 512
    logging_steps: int = 10
    num_workers: int = 0
    shards: Path | None = None
    resume: bool = True
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_one(self, "steps", "epochs", "max_minutes")
        require_one(self, "preset", "init_from")
        require_range(
            self,
            "steps",
            "warmup_steps",
            "weight_decay",
            "max_grad_norm",
            "language_exponent",
            "num_workers",
            at_least=0,
        )
        require_positive(
            self, "epochs", "max_minutes", "max_megabytes", "max_length", "batch_size", "device_batch_size",
            "learning_rate", "save_steps", "eval_steps", "eval_rows", "logging_steps",
        )  # fmt: skip
        require_range(self, "decay_share", above=0, at_most=1)
        require_share(
            self, "deobfuscation_share", "mask_rate", "highest_mask_rate", "identifier_share", "random_share",
            "keep_share",
        )  # fmt: skip
        if self.highest_mask_rate is not None and self.highest_mask_rate < self.mask_rate:
            raise ValueError(f"highest_mask_rate is {self.highest_mask_rate}, below mask_rate {self.mask_rate}")
        if self.random_share + self.keep_share > 1:
            raise ValueError("random_share and keep_share are shares of the masked tokens: together at most 1")
        if self.freeze_token_embeddings and self.init_from is None:
            raise ValueError("freeze_token_embeddings would keep random ones: give init_from")
        if self.head_only and self.init_from is None:
            raise ValueError("head_only would keep a random encoder: give init_from")


@dataclass(frozen=True)
class TokenizerConfig:
    """Learn a byte-level BPE tokenizer from the training files of a corpus.

    Attributes:
        corpus: folder written by `extract`; its held-out files are not read.
        output: the tokenizer folder to write; it must not exist yet.
        vocab_size: number of tokens, three special ones and the 256 bytes included. The paper has 49,152.
        max_length: number of tokens to which the tokenizer truncates, the end token included.
        languages: languages to learn from; all of the corpus if not given.
        max_megabytes: text to take of each language, files chosen by chance; all if not given.
    """

    corpus: Path
    output: Path
    vocab_size: int = 49_152
    max_length: int = 1024
    languages: tuple[str, ...] = ()
    max_megabytes: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(dict.fromkeys(map(resolve_language, self.languages))))
        require_positive(self, "max_megabytes")
        require_range(self, "vocab_size", at_least=256 + 3)  # The bytes, and the special tokens.
        require_range(self, "max_length", at_least=2)
