"""The settings of `export`, `convert`, `safetensors` and `publish`, checked when they are made.

Importing this module loads neither torch nor transformers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ..common.checks import require_range, require_share, require_some


@dataclass(frozen=True)
class ConvertConfig:
    """Turn a checkpoint as the authors of CodeSage published it into a Hub folder.

    Attributes:
        source: folder of the downloaded checkpoint, for example of codesage/codesage-small-v2.
        output: the Hub folder to write.
        name: what the model card calls the model, NAME or USER/NAME on the Hub; the folder's name if not given.
        origin: Hub id of the checkpoint, for the card; that in its config.json if not given.
        license: license of the checkpoint, as the Hub spells it; that of its card if not given.
        dtype: number format of the stored weights; that of the checkpoint if not given.
        max_length: longest input in tokens, EOS included; that of its sentence-transformers files if not given, or
            1024.
        tokenizer_files: vocab.json takes the tokens of the authors' tokenizer class; tokenizer.json those of the file
            beside it, which differ where blanks stand before a digit.
        onnx: also write onnx/model.onnx, for onnxruntime; needs `pip install "open-codesage[onnx]"`.
        int8: with onnx, also write onnx/model_int8.onnx, about a quarter of its size and less exact.
        metrics: results.json files of evaluate on this model alone, for the card.
        baselines: results.json files of other models, for the card.
        overwrite: replace an earlier folder at `output`.
    """

    positional: ClassVar[tuple[str, ...]] = ("source", "output")

    source: Path
    output: Path
    name: str | None = None
    origin: str | None = None
    license: str | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    max_length: int | None = None
    tokenizer_files: Literal["vocab.json", "tokenizer.json"] = "vocab.json"
    onnx: bool = False
    int8: bool = False
    metrics: tuple[Path, ...] = ()
    baselines: tuple[Path, ...] = ()
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_range(self, "max_length", at_least=2)
        _require_graph(self)


@dataclass(frozen=True)
class ExportConfig:
    """Write a trained encoder as a Hub folder, with its code, tokenizer, sentence-transformers files and model card.

    An encoder whose code is part of transformers (BERT, RoBERTa, ModernBERT, MPNet, DeBERTa and others) gets a folder
    without code, which needs no `trust_remote_code`. Of a static model only `AutoModel` needs it.

    Attributes:
        model: model folder of `pretrain` (Stage I), of `contrast` (Stage II), of `distill`, or of `finetune`.
        output: the Hub folder to write.
        name: what the model card calls the model, NAME or USER/NAME on the Hub; the folder's name if not given.
        dtype: number format of the stored weights; bfloat16 halves the file. Either is opened as float32. A static
            model is always stored as float16.
        onnx: also write onnx/model.onnx, for onnxruntime; needs `pip install "open-codesage[onnx]"`.
        int8: with onnx, also write a graph with 8-bit weights, about a quarter of its size and less exact:
            onnx/model_int8.onnx, or onnx/model_quantized.onnx of an encoder whose code is part of transformers.
        license: license of the model, as the Hub spells it.
        languages: programming languages the model knows; those of the corpus if not given.
        corpus: corpus folder that the model was trained on, for the card's table of files, pairs and licenses.
        data: a paragraph on the training data, for the card.
        datasets: Hub ids of the datasets trained on, for the card.
        base_model: Hub id of the model that this one was fine-tuned or distilled from, for the card; needed for an
            encoder whose code is part of transformers, such as BERT.
        base_license: license of that model, as the Hub spells it; needed where base_model is.
        stage_one: model folder of Stage I, for its hyper-parameters on the card; not needed if `model` is that folder.
        metrics: results.json files of evaluate, for the card. In a file of several models this one is told by its hash,
            and the others are baselines.
            A single file goes into the folder, too, for `evaluate --expected`.
        baselines: results.json files of other models, for the card.
        notes: Markdown file for the card, before its limits: what no record tells, such as how training scales.
        overwrite: replace an earlier export at `output`.
    """

    model: Path
    output: Path
    name: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    onnx: bool = False
    int8: bool = False
    license: str = "apache-2.0"
    languages: tuple[str, ...] = ()
    corpus: Path | None = None
    data: str | None = None
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    base_license: str | None = None
    stage_one: Path | None = None
    metrics: tuple[Path, ...] = ()
    baselines: tuple[Path, ...] = ()
    notes: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_repository_name(self.model_id, "a model", "give another one as name")
        _require_graph(self)

    @property
    def model_id(self) -> str:
        """What the card's code gives to `from_pretrained`."""
        return self.name or self.output.absolute().name


@dataclass(frozen=True)
class PublishConfig:
    """Put a Hub folder on the Hugging Face Hub in one commit, checked before and after.

    A run that failed or was stopped leaves nothing half-published; the same command resumes. The token is the one of
    `hf auth login`, or of the environment variable HF_TOKEN.

    Attributes:
        folder: Hub folder, as `open-codesage export` writes it.
        repo: model repository, USER/NAME; it is made if it is not there.
        private: make the new repository private; one that is there and public is refused.
        revision: branch to commit to, made from main if it is not there; main if not given.
        create_pr: propose the commit as a pull request to main; needs no right to write to the repository.
        dry_run: check everything, list the files and their sizes, write nothing.
    """

    folder: Path
    repo: str
    private: bool = False
    revision: str | None = None
    create_pr: bool = False
    dry_run: bool = False
    positional: ClassVar[tuple[str, ...]] = ("folder", "repo")

    def __post_init__(self) -> None:
        require_repository_name(self.repo, "a repository", "write USER/NAME")
        if "/" not in self.repo:
            raise ValueError(f"{self.repo!r} does not say whose repository it is: write USER/{self.repo}")
        if self.create_pr and (self.private or self.revision):
            raise ValueError("create_pr proposes to main of an existing repository: leave out private and revision")


@dataclass(frozen=True)
class SafetensorsConfig:
    """Turn a model folder with pickled weights into one with safetensors, which every command opens.

    Attributes:
        source: folder of the model, as downloaded.
        output: the folder to write; it must not exist yet.
    """

    positional: ClassVar[tuple[str, ...]] = ("source", "output")

    source: Path
    output: Path


def require_repository_name(name: str, what: str, remedy: str) -> None:
    """Refuse a name that the Hub would not accept.

    Raises:
        ValueError: it is none.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(f"{name!r} cannot be the name of {what} ({error}): {remedy}") from error


def _require_graph(config: ConvertConfig | ExportConfig) -> None:
    if config.int8 and not config.onnx:
        raise ValueError("int8 is the small form of the ONNX file: set onnx too")


@dataclass(frozen=True)
class AverageConfig:
    """Average the weights of models of one kind: a trained one and what it was trained from, or several of one origin.

    Attributes:
        models: model folders of one architecture, tokenizer and modules, at least two.
        output: the folder to write; it must not exist yet. All but the weights comes from the first model.
        share: what the first of two models counts; the other counts the rest. If none, all models count alike.
        tasks: measure on these search and classification sets, as `evaluate` reads them, for the curve.
        curve: shares of the first of two models that are measured with tasks.
        batch_size: texts per batch of a measurement.
        max_length: longest input in tokens of a measurement, cut beyond; what the model was made for if none.
    """

    positional: ClassVar[tuple[str, ...]] = ("models",)

    models: tuple[Path, ...]
    output: Path
    share: float | None = None
    tasks: tuple[str, ...] = ()
    curve: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    batch_size: int = 64
    max_length: int | None = None

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise ValueError(f"models names {len(self.models)}: give at least two to average")
        require_share(self, "share")
        require_range(self, "curve", at_least=0, at_most=1)
        require_some(self, "curve")
        require_range(self, "batch_size", "max_length", at_least=1)
        if len(self.models) > 2 and (self.share is not None or self.tasks):
            raise ValueError("share and tasks are for two models: of more, all count alike")
