"""The figures in the log: model FLOPs against a count made by hand and by torch, the clock, the shares of the peak."""

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM
from open_codesage.train.stages.callbacks import throughput
from open_codesage.train.stages.callbacks.throughput import Throughput, measured_peak, training_flops, work
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerControl, TrainerState, TrainingArguments

CONFIG = CodeSageConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=64,
    pad_token_id=2,
    embedding_dropout_prob=0.0,
    residual_dropout_prob=0.0,
    attention_dropout_prob=0.0,
)


def flops(inputs: dict[str, torch.Tensor]) -> float:
    return training_flops(CONFIG, work(inputs).tolist())


def test_flops_are_those_that_torch_counts_for_the_matrix_products():
    ids = torch.randint(3, 50, (4, 24))
    labels = torch.where(torch.rand(4, 24) < 0.3, ids, -100)
    inputs = {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}
    model = CodeSageForMaskedLM._from_config(CONFIG, attn_implementation="eager")
    with FlopCounterMode(display=False) as counter:
        model(**inputs).loss.backward()
    counted = flops(inputs)
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_packed_rows_pay_for_attention_within_documents_only():
    ids = torch.zeros(1, 12, dtype=torch.long)
    mask = torch.tensor([[1] * 10 + [0, 0]])
    packed = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 0, 0]])
    one = torch.arange(12)[None]

    def attention(positions: torch.Tensor) -> float:
        return flops({"input_ids": ids, "attention_mask": mask, "position_ids": positions})

    per_square = 3 * 4 * CONFIG.num_hidden_layers * CONFIG.hidden_size
    assert attention(one) - attention(packed) == per_square * (10**2 - 3**2 - 7**2)


def test_padding_costs_nothing_and_the_positions_of_padding_do_not_matter():
    ids = torch.zeros(2, 8, dtype=torch.long)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    short = flops({"input_ids": ids[1:, :5]}) + flops({"input_ids": ids[:1]})
    assert flops({"input_ids": ids, "attention_mask": mask}) == short
    positions = torch.arange(8).repeat(2, 1)
    assert flops({"input_ids": ids, "attention_mask": mask, "position_ids": positions}) == short


def test_the_peak_is_that_of_the_fastest_product_after_the_first(monkeypatch):
    products = iter([0.001, 0.5, 0.1, 0.2, 0.4])
    clock = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])

    def product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
        assert left.shape == right.shape == out.shape == (1024, 1024) and left.dtype == torch.bfloat16
        clock[0] += next(products)

    monkeypatch.setattr(torch, "mm", product)
    peak = measured_peak(torch.device("cpu"), torch.bfloat16, seconds=0.65)
    assert peak == pytest.approx(2 * 1024**3 / 0.1)
    assert len(list(products)) == 1, "it shall stop when the time is over"


def test_rates_leave_out_evaluation_and_saving_and_go_on_after_a_resumption(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    args, control = TrainingArguments(output_dir=str(tmp_path)), TrainerControl()
    state = TrainerState(total_flos=0.0, num_input_tokens_seen=0)

    def step(callback: Throughput, seconds: float) -> None:
        clock[0] += seconds
        state.num_input_tokens_seen += 1000
        state.total_flos += 4e6
        callback.on_step_end(args, state, control)

    def log(callback: Throughput, **entry: float) -> dict[str, float]:
        state.log_history.append(dict(entry))
        callback.on_log(args, state, control, logs=entry)
        assert state.log_history[-1] == entry
        return entry

    callback = Throughput(peak=8e6)
    callback.on_train_begin(args, state, control)
    step(callback, 2.0)
    assert log(callback, loss=1.0) == {"loss": 1.0, "tokens_per_second": 500, "mfu": 0.25, "train_seconds": 2.0}
    clock[0] += 50
    assert log(callback, eval_random_loss=1.0) == {"eval_random_loss": 1.0}
    callback.on_evaluate(args, state, control)
    clock[0] += 50
    callback.on_save(args, state, control)
    step(callback, 1.0)
    step(callback, 1.0)
    assert log(callback, loss=1.0) == {"loss": 1.0, "tokens_per_second": 1000, "mfu": 0.5, "train_seconds": 4.0}

    clock[0] += 1000
    again = Throughput(peak=8e6)
    again.on_train_begin(args, state, control)
    step(again, 4.0)
    assert log(again, loss=1.0) == {"loss": 1.0, "tokens_per_second": 250, "mfu": 0.125, "train_seconds": 8.0}
