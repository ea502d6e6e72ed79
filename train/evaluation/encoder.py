"""A model as a text encoder, through sentence-transformers.

Contract: `open_sentence_model` opens a folder or Hub id that sentence-transformers or `AutoModel` can open; a model
without a pooling of its own gets the mean over its tokens. `Encoder` embeds texts in batches of similar length. Weights
are safetensors only.
"""

from pathlib import Path

import open_codesage.modeling  # noqa: F401  (registers the model classes)
import torch
from sentence_transformers import SentenceTransformer

from ..model_folders import LOADING_ERRORS, require_sound, require_sound_download
from ..stages.checkpoints import require_safetensors


def open_sentence_model(model: str) -> SentenceTransformer:
    """Open a model in float32.

    Args:
        model: folder or Hub id.

    Raises:
        ValueError: it can not be opened.
    """
    folder = Path(model)
    local = folder.exists()
    if local and any(folder.rglob("*.safetensors")):
        require_sound(folder)
    elif local:
        require_safetensors(folder)
    else:
        require_sound_download(model)
    options = {"dtype": torch.float32, "use_safetensors": True}
    try:
        return SentenceTransformer(model, model_kwargs=options, local_files_only=local)
    except LOADING_ERRORS as error:
        raise ValueError(f"model {model} can not be opened: {error}") from error


class Encoder:
    """A model that turns texts into embeddings.

    Args:
        model: folder or Hub id, or a model that is open.
        batch_size: texts per batch.
        max_length: longest input in tokens, cut beyond; what the model was made for if None.
        show_progress: show a bar over the documents.

    Raises:
        ValueError: the model can not be opened, or can not take inputs of this length.
    """

    def __init__(
        self,
        model: str | SentenceTransformer,
        batch_size: int,
        max_length: int | None = None,
        show_progress: bool = True,
    ) -> None:
        self.model = open_sentence_model(model) if isinstance(model, str) else model
        self.batch_size, self.show_progress = batch_size, show_progress
        longest = self.model.max_seq_length
        if max_length is not None:
            if longest is not None and max_length > longest:
                raise ValueError(f"max_length is {max_length}, but {model} takes at most {longest} tokens")
            self.model.max_seq_length = max_length

    def queries(self, texts: list[str]) -> torch.Tensor:
        """Embed queries: float32 [number of texts, width], on the CPU."""
        return self.model.encode_query(texts, batch_size=self.batch_size, convert_to_tensor=True).float().cpu()

    def documents(self, texts: list[str]) -> torch.Tensor:
        """Embed documents: float32 [number of texts, width], on the CPU."""
        vectors = self.model.encode_document(
            texts, batch_size=self.batch_size, convert_to_tensor=True, show_progress_bar=self.show_progress
        )
        return vectors.float().cpu()
