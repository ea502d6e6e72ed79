"""A model as a text encoder, through sentence-transformers.

Contract: `Encoder` opens a folder or Hub id that sentence-transformers or `AutoModel` can open; a model without a
pooling of its own gets the mean over its tokens. Texts are embedded in batches of similar length. Weights are
safetensors only.
"""

from pathlib import Path

import open_codesage.modeling  # noqa: F401  (registers the model classes)
import torch
from sentence_transformers import SentenceTransformer

from ..stages.checkpoints import require_safetensors


class Encoder:
    """A model that turns texts into embeddings.

    Args:
        model: folder or Hub id.
        batch_size: texts per batch.
        max_length: longest input in tokens, cut beyond; what the model was made for if None.

    Raises:
        ValueError: the model can not be opened, or can not take inputs of this length.
    """

    def __init__(self, model: str, batch_size: int, max_length: int | None) -> None:
        local = Path(model).exists()
        if local and not any(Path(model).rglob("*.safetensors")):
            require_safetensors(Path(model))
        options = {"dtype": torch.float32, "use_safetensors": True}
        try:
            self.model = SentenceTransformer(model, model_kwargs=options, local_files_only=local)
        except (OSError, ValueError) as error:
            kind = "The folder" if local else "There is no such folder, and as a Hub id it"
            raise ValueError(f"model {model}: {kind} can not be opened: {error}") from error
        self.batch_size = batch_size
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
            texts, batch_size=self.batch_size, convert_to_tensor=True, show_progress_bar=True
        )
        return vectors.float().cpu()
