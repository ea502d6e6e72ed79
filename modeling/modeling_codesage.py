"""The CodeSage encoder for transformers 5: GPT-2 shaped blocks that look both ways, and its two heads.

Purpose: the computation and the weight names of the published checkpoints (arXiv 2402.01935, section 3 and Table 5), so
that their weights load unchanged, in a class that spends nothing on padding.

Invariant: the outputs of a document (see `attention_codesage`) depend on nothing else in its batch: not on padding or
its side, not on other rows, not on documents that share its row, and not on which of two layouts computed it:

* *unpadded* (`sdpa`, `flash_attention_*`): the tokens of all documents stand in one row [1, N] from the embedding to
  the last layer norm; padding is dropped before the first layer, and attention runs by document. A caller that lists
  the documents of its batch, and whose kernel takes that list, spares the model the search for them: then padding is a
  document like others, no shape depends on values, and the layout can be traced, too.
* *padded* (`eager`, `flex_attention`, other registered attentions; also `sdpa` while a graph is traced and no
  documents are listed): rows [B, T], with a mask that lets only tokens of one document see each other.

Shapes: B rows, T tokens a row, N tokens of all documents, H hidden size, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    SequenceClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils.generic import can_return_tuple, is_flash_attention_requested
from transformers.utils.import_utils import is_tracing
from transformers.utils.output_capturing import capture_outputs

from .attention_codesage import (
    Documents,
    ListedDocuments,
    attend_by_document,
    eager_attention_forward,
    number_documents,
    takes_listed,
)
from .configuration_codesage import CodeSageConfig

IGNORED_LABEL = -100
"""Label of the positions that a prediction loss leaves out."""


class CodeSageAttention(nn.Module):
    """Multi-head self-attention without a causal mask, from one fused projection."""

    def __init__(self, config: CodeSageConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.is_causal = False
        self.c_attn = Conv1D(3 * config.hidden_size, config.hidden_size)
        self.c_proj = Conv1D(config.hidden_size, config.hidden_size)
        self.resid_dropout = nn.Dropout(config.residual_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        documents: Documents | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query, key, value = (
            states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for states in self.c_attn(hidden_states).chunk(3, dim=-1)
        )
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        kwargs |= {
            "dropout": self.config.attention_dropout_prob if self.training else 0.0,
            "scaling": self.head_dim**-0.5,
        }
        if documents is None:
            attended, weights = attention_interface(self, query, key, value, attention_mask, **kwargs)
        else:
            attended, weights = attend_by_document(attention_interface, documents, self, query, key, value, **kwargs)
        return self.resid_dropout(self.c_proj(attended.flatten(-2))), weights


class CodeSageMLP(nn.Module):
    """Two projections with an activation between them."""

    def __init__(self, config: CodeSageConfig) -> None:
        super().__init__()
        if config.activation_function not in ACT2FN:
            raise ValueError(f"transformers has no activation named {config.activation_function!r}")
        # The same function in one kernel: spelled out in Python, it takes as long as a projection on a CPU.
        name = "gelu_pytorch_tanh" if config.activation_function == "gelu_new" else config.activation_function
        self.c_fc = Conv1D(config.intermediate_size, config.hidden_size)
        self.act = ACT2FN[name]
        self.c_proj = Conv1D(config.hidden_size, config.intermediate_size)
        self.dropout = nn.Dropout(config.residual_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(hidden_states))))


class CodeSageBlock(GradientCheckpointingLayer):
    """Attention and feed-forward layer, each normalised before and added to what came in."""

    def __init__(self, config: CodeSageConfig, layer_idx: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.attn = CodeSageAttention(config, layer_idx)
        self.ln_2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.mlp = CodeSageMLP(config)

    def forward(self, hidden_states: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        hidden_states = hidden_states + self.attn(self.ln_1(hidden_states), **kwargs)[0]
        return hidden_states + self.mlp(self.ln_2(hidden_states))


class CodeSagePreTrainedModel(PreTrainedModel):
    """What the encoder and its heads tell transformers about themselves."""

    config: CodeSageConfig
    config_class = CodeSageConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["CodeSageBlock"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs: ClassVar = {"hidden_states": CodeSageBlock, "attentions": CodeSageAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Conv1D):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            init.zeros_(module.bias)
        elif module is self.get_input_embeddings() and self.config.token_initializer_range is not None:
            init.normal_(module.weight, mean=0.0, std=self.config.token_initializer_range)


class CodeSageModel(CodeSagePreTrainedModel):
    """The bare encoder: token states and their mean."""

    def __init__(self, config: CodeSageConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.wpe = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.drop = nn.Dropout(config.embedding_dropout_prob)
        self.h = nn.ModuleList([CodeSageBlock(config, layer_idx) for layer_idx in range(config.num_hidden_layers)])
        norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.ln_f = norm if config.final_layer_norm else nn.Identity()
        # The blocks are what is checkpointed. transformers wants to see this flag also where there is none.
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.wte

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.wte = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Encode a batch of documents.

        Args:
            input_ids: Token ids, [B, T].
            attention_mask: 1 (or True) for the tokens that count, 0 for padding, [B, T]. None: all tokens count.
            position_ids: Position of each token in its document, [B, T] or [1, T]; a document begins where it is 0.
                None: each row is one document, and its positions count the tokens that the mask keeps.
            inputs_embeds: Token embeddings [B, T, H] in place of `input_ids`.
            cu_seq_lens_q: With `position_ids`: where in the flattened batch each document begins, and B * T at last,
                [documents + 1], int32 on the device; a run of padding is a document of its own, and what fills up the
                list repeats B * T. Used where attention has a kernel for it, else found from the positions.
            max_length_q: With `cu_seq_lens_q`: a bound of the documents' lengths, a number of the host.
            **kwargs: `output_hidden_states`, `output_attentions` (eager only) and `return_dict`; what else there is
                goes to the attention.

        Returns:
            `last_hidden_state` [B, T, H], zeros at padding; `pooler_output` [B, H], the mean over the tokens of each
            row that count (of a packed row: over all its documents), zeros if there are none; if asked for,
            `hidden_states`, the inputs of the blocks and the last hidden state, each [B, T, H] with zeros at padding.

        Raises:
            ValueError: If the batch is empty, a shape does not fit, or a document is longer than the position table.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, not both and not neither")
        inputs: Any = input_ids if inputs_embeds is None else inputs_embeds
        rows, columns = self._check_shapes(inputs, attention_mask, position_ids)
        tracing = is_tracing(inputs)

        kept = numbers = None
        documents: Documents | ListedDocuments | None = None
        if (
            position_ids is not None
            and cu_seq_lens_q is not None
            and max_length_q is not None
            and self._takes_listed(inputs)
        ):
            self._check_length(max_length_q)
            documents = ListedDocuments(cu_seq_lens_q, max_length_q, rows)
            kept = None if attention_mask is None else attention_mask.bool()
            positions = position_ids.expand(rows, -1)
        elif attention_mask is None and position_ids is None:
            positions = torch.arange(columns, device=inputs.device).expand(rows, -1)
        else:
            everything = torch.ones(rows, columns, dtype=torch.bool, device=inputs.device)
            kept = everything if attention_mask is None else attention_mask.to(everything)
            positions = kept.cumsum(-1) - 1 if position_ids is None else position_ids.expand(rows, -1)
            positions = positions.masked_fill(~kept, 0)
            numbers = number_documents(positions, kept)
        if documents is None:
            self._check_positions(positions, given=position_ids is not None, tracing=tracing)

        flash = is_flash_attention_requested(self.config)
        if numbers is not None and (flash or (self.config._attn_implementation == "sdpa" and not tracing)):
            documents = Documents.find(numbers)
        if documents is not None:
            inputs, positions = documents.unpad(inputs), documents.unpad(positions)
        hidden_states = self.wte(inputs) if inputs_embeds is None else inputs
        hidden_states = self.drop(hidden_states + self.wpe(positions))
        # What else a caller that has flattened its batch (sentence-transformers) gives is the same once more.
        for name in ("cu_seq_lens_k", "max_length_k", "seq_idx"):
            kwargs.pop(name, None)
        encoded = self._encode(
            hidden_states,
            attention_mask=self._document_mask(hidden_states, numbers) if documents is None else None,
            documents=documents,
            return_dict=True,
            **kwargs,
        )

        def restore(states: torch.Tensor) -> torch.Tensor:
            states = states if documents is None else documents.pad(states)
            if kept is None or isinstance(documents, Documents):
                return states
            return states.masked_fill(~kept.unsqueeze(-1), 0)  # Of listed documents some may be padding.

        last_hidden_state = restore(encoded.last_hidden_state)
        count = columns if kept is None else kept.sum(-1, keepdim=True).clamp(min=1)
        recorded = encoded.hidden_states
        return BaseModelOutputWithPooling(
            last_hidden_state=last_hidden_state,
            pooler_output=(last_hidden_state.sum(1, dtype=torch.float32) / count).to(last_hidden_state.dtype),
            hidden_states=recorded and tuple(state if state is None else restore(state) for state in recorded),
            attentions=encoded.attentions,
        )

    @capture_outputs
    def _encode(self, hidden_states: torch.Tensor, **kwargs: Any) -> BaseModelOutput:
        """Run the blocks in whichever layout `hidden_states` are in; hooks record what passes through."""
        for block in self.h:
            hidden_states = block(hidden_states, **kwargs)
        return BaseModelOutput(last_hidden_state=self.ln_f(hidden_states))

    def _document_mask(self, hidden_states: torch.Tensor, numbers: torch.Tensor | None) -> Any:
        """Build the padded layout's mask; padding is a document of its own, so no row of scores is all masked."""
        same_document = None
        if numbers is not None:

            def same_document(batch: Any, head: Any, query: Any, key: Any) -> Any:
                return numbers[batch, query] == numbers[batch, key]

        return create_bidirectional_mask(self.config, hidden_states, None, and_mask_function=same_document)

    @staticmethod
    def _check_shapes(
        inputs: torch.Tensor, attention_mask: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[int, int]:
        rows, columns = inputs.shape[:2]
        if rows == 0 or columns == 0:
            raise ValueError(f"the batch is empty: {rows} rows of {columns} tokens; leave it out")
        if attention_mask is not None and attention_mask.shape != (rows, columns):
            raise ValueError(
                f"attention_mask is {tuple(attention_mask.shape)}, the input is {rows} rows of {columns} tokens; "
                "documents packed into one row are told by position_ids that restart at 0, not by a mask"
            )
        if position_ids is not None and position_ids.shape not in ((rows, columns), (1, columns)):
            raise ValueError(
                f"position_ids are {tuple(position_ids.shape)}, the input is {rows} rows of {columns} tokens"
            )
        return rows, columns

    def _takes_listed(self, inputs: torch.Tensor) -> bool:
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.wte.weight.dtype
        return takes_listed(self.config, inputs.device, dtype, self.training)

    def _check_positions(self, positions: torch.Tensor, given: bool, tracing: bool) -> None:
        """Refuse what the position table can not hold; while tracing, where values are unknown, by the row's length."""
        longest = positions.shape[-1]
        if tracing:
            longest = 0 if given else longest
        elif given or longest > self.config.max_position_embeddings:
            longest = int(positions.max()) + 1
        self._check_length(longest)

    def _check_length(self, longest: int) -> None:
        table = self.config.max_position_embeddings
        if longest > table:
            raise ValueError(
                f"a document of {longest} tokens does not fit the table of {table} positions "
                f"(max_position_embeddings); cut it, for example by the tokenizer's truncation=True, max_length={table}"
            )


class CodeSageForMaskedLM(CodeSagePreTrainedModel):
    """The encoder with the prediction head of Stage I: one bias-free projection, tied to the token embedding."""

    _tied_weights_keys: ClassVar = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: CodeSageConfig) -> None:
        super().__init__(config)
        self.transformer = CodeSageModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """Return the prediction head."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the prediction head."""
        self.lm_head = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        sparse_logits: bool | None = None,
        masked_lm_positions: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict tokens; the arguments are those of `CodeSageModel.forward`.

        Args:
            input_ids: Token ids, [B, T].
            attention_mask: Which tokens count, [B, T].
            position_ids: Positions, [B, T].
            inputs_embeds: Token embeddings [B, T, H] in place of `input_ids`.
            labels: The original token at each position to predict, -100 elsewhere, [B, T].
            sparse_logits: Compute the logits of the labelled positions alone. None: while training, where nobody looks
                at the others, which are most of the memory. (The Trainer takes arguments named after labels for such.)
            masked_lm_positions: With labels: all places of the flattened labels that are not -100, and any others that
                make their number a fixed one, [M], int64. With them no shape depends on values.
            **kwargs: As for the encoder; `num_items_in_batch` divides the summed loss in place of the labels' number.

        Returns:
            The `logits` [B, T, V]; with labels also the `loss`, equation 1 of the paper, averaged over the labelled
            positions, 0 if there are none. With labels and `sparse_logits` the `logits` are those of the M labelled
            positions, row by row, [M, V]; with `masked_lm_positions` those of these, and while training none, so that
            they need not be kept.
        """
        outputs = self.transformer(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        hidden_states, loss = outputs.last_hidden_state, None
        if labels is None:
            logits = self.lm_head(hidden_states)
        elif masked_lm_positions is not None:
            logits = self.lm_head(hidden_states.flatten(0, 1).index_select(0, masked_lm_positions))
            targets = labels.flatten().index_select(0, masked_lm_positions)
            count = kwargs.pop("num_items_in_batch", None)
            count = (targets != IGNORED_LABEL).sum() if count is None else torch.as_tensor(count, device=targets.device)
            loss = self.loss_function(
                logits, targets, vocab_size=self.config.vocab_size, num_items_in_batch=count.clamp(min=1), **kwargs
            )
            logits = None if self.training else logits
        else:
            labelled = (labels != IGNORED_LABEL).to(hidden_states.device)
            if self.training if sparse_logits is None else sparse_logits:
                logits = scored = self.lm_head(hidden_states[labelled])
            else:
                logits = self.lm_head(hidden_states)
                scored = logits[labelled.to(logits.device)]
            if scored.numel() == 0:
                loss = scored.sum()
            else:
                targets = labels[labelled.to(labels.device)]
                loss = self.loss_function(scored, targets, vocab_size=self.config.vocab_size, **kwargs)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class CodeSageForSequenceClassification(CodeSagePreTrainedModel):
    """The encoder with dropout and one linear layer on the pooled mean."""

    def __init__(self, config: CodeSageConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = CodeSageModel(config)
        dropout = config.residual_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify rows; the arguments are those of `CodeSageModel.forward`.

        Args:
            input_ids: Token ids, [B, T].
            attention_mask: Which tokens count, [B, T].
            position_ids: Positions, [B, T].
            inputs_embeds: Token embeddings [B, T, H] in place of `input_ids`.
            labels: What `config.problem_type` asks for: class ids [B], 0 and 1 in floats [B, labels], or values [B] or
                [B, labels]. If the problem type is None, transformers infers it from the labels.
            **kwargs: As for the encoder.

        Returns:
            `logits` [B, labels], and the `loss` if there are labels.
        """
        outputs = self.transformer(input_ids, attention_mask, position_ids, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(self.dropout(outputs.pooler_output))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


__all__ = ["CodeSageForMaskedLM", "CodeSageForSequenceClassification", "CodeSageModel", "CodeSagePreTrainedModel"]
