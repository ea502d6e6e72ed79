"""What only a card can show: the kernels against the padded reference, compiled code, and both commands. A minute."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from open_codesage.modeling import CodeSageConfig, CodeSageForMaskedLM, CodeSageModel
from open_codesage.modeling.attention_codesage import takes_listed
from torch import Tensor
from transformers import AutoModelForMaskedLM
from transformers.utils import is_flash_attn_2_available

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.append(str(SCRIPTS))

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

STEADY = {"embedding_dropout_prob": 0.0, "residual_dropout_prob": 0.0, "attention_dropout_prob": 0.0}
LENGTH, ROWS = 256, 4


def make(attention: str = "sdpa", weights: CodeSageForMaskedLM | None = None) -> CodeSageForMaskedLM:
    torch.manual_seed(0)
    config = CodeSageConfig(
        vocab_size=512,
        max_position_embeddings=LENGTH,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        initializer_range=0.1,
        pad_token_id=2,
        **STEADY,
    )
    model = CodeSageForMaskedLM._from_config(config, attn_implementation=attention)
    if weights is not None:
        model.load_state_dict(weights.state_dict())
    return model.cuda().train()


@pytest.fixture(scope="module")
def batch() -> tuple[dict[str, Tensor], dict[str, object]]:
    """A batch of packed rows, padded, and what a loader lists of it."""
    from open_codesage.train.stages.data.masking import documents_of, positions_of

    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([[3, 100, 120, 33], [256, 0, 0, 0], [64, 64, 64, 64], [1, 200, 5, 50]])
    ids = torch.randint(3, 512, (ROWS, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    mask[3, 206:] = 0
    labelled = (torch.rand(ids.shape, generator=generator) < 0.2) & mask.bool()
    labels = torch.where(labelled, ids, -100)
    positions = torch.cat([torch.arange(length) for length in lengths.flatten().tolist()]).view(ROWS, LENGTH)
    padded = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}
    lists = {
        "cu_seq_lens_q": torch.from_numpy(documents_of(lengths.flatten().numpy(), ROWS)).cuda(),
        "max_length_q": LENGTH,
        "masked_lm_positions": torch.from_numpy(positions_of(labels.numpy())).cuda(),
    }
    return {name: values.cuda() for name, values in padded.items()}, lists


def distance(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "found"])
@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_variable_lengths_give_the_states_and_gradients_of_the_padded_reference(batch, attention, listed):
    if attention != "sdpa" and not is_flash_attn_2_available():
        pytest.skip("flash_attn is not installed")
    padded, lists = batch
    reference = make("eager")
    model = make(attention, weights=reference)
    assert takes_listed(model.config, torch.device("cuda", 0), torch.bfloat16, training=True)
    given = lists if listed else {}
    exact = reference(**padded, output_hidden_states=True)
    with torch.autocast("cuda", torch.bfloat16):
        half = make("eager", weights=reference)
        usual = half(**padded, output_hidden_states=True)
        found = model(**padded, **given, output_hidden_states=True)
    for output in (exact, usual, found):
        output.loss.backward()
    assert abs(found.loss - exact.loss) < 0.01 * exact.loss
    # bf16 by itself is so far from float32: the kernel may be no farther.
    floor = distance(usual.hidden_states[-1], exact.hidden_states[-1])
    assert distance(found.hidden_states[-1], exact.hidden_states[-1]) < 1.5 * floor < 0.05
    expected, plain = gradients(reference), gradients(half)
    for name, gradient in gradients(model).items():
        assert distance(gradient, expected[name]) < 0.02 + 1.5 * distance(plain[name], expected[name]), name


def test_a_step_asks_nothing_of_the_device(batch):
    padded, lists = batch
    model, count = make(), torch.tensor(100, device="cuda")

    def step(given: dict[str, object]) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(**padded, **given, num_items_in_batch=count).loss
        loss.backward()

    step(lists)  # The first call may load kernels.
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(lists)
        with pytest.raises(RuntimeError, match="synchroniz"):
            step({})
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_compiled_code_gives_the_loss_and_gradients_of_eager_code(batch):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import TorchDynamoPlugin

    padded, lists = batch
    eager = make()
    inner = make(weights=eager)
    AcceleratorState._reset_state(reset_partial_state=True)  # what another test has left
    plugin = TorchDynamoPlugin(backend="inductor", fullgraph=True)
    compiled = Accelerator(mixed_precision="bf16", dynamo_plugin=plugin).prepare_model(inner)
    with torch.autocast("cuda", torch.bfloat16):
        expected = eager(**padded, **lists).loss
    found = compiled(**padded, **lists).loss
    for loss in (expected, found):
        loss.backward()
    assert abs(found - expected) < 0.005 * expected
    for name, gradient in gradients(inner).items():
        assert distance(gradient, gradients(eager)[name]) < 0.05, name


def losses(output: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((output / "training.json").read_text())["log"] if "loss" in entry]


def test_stage_one_learns_and_its_folder_opens(tmp_path):
    from tiny_pretraining import main, settings, write_inputs

    write_inputs(tmp_path)
    model = settings(tmp_path, "model").model | STEADY
    trainer = {"save_total_limit": 10, "disable_tqdm": True}
    changes = {"steps": 40, "bf16": True, "fixed_shapes": True, "model": model, "trainer": trainer, "num_workers": 2}
    main(settings(tmp_path, "model", **changes))
    curve = losses(tmp_path / "model")
    assert sum(curve[-5:]) < sum(curve[:5]) - 2.5
    assert (tmp_path / "model.run" / "checkpoint-39" / "complete.json").is_file()
    opened = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    assert opened.config.model_type == "codesage"
    assert json.loads((tmp_path / "model" / "training.json").read_text())["device"].startswith("cuda")


@pytest.mark.parametrize("mini_batch", [None, 8], ids=["whole", "gradient cache"])
def test_stage_two_learns_and_its_folder_opens(tmp_path, mini_batch):
    from open_codesage.train.stages.configs import ContrastConfig
    from open_codesage.train.stages.contrast import main
    from sentence_transformers import SentenceTransformer

    spec = importlib.util.spec_from_file_location("contrast_run", SCRIPTS / "contrast_run.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    tiny.make_corpus(tmp_path / "corpus")
    tiny.make_encoder(tmp_path / "encoder")
    main(
        ContrastConfig(
            model=tmp_path / "encoder",
            corpus=tmp_path / "corpus",
            output=tmp_path / "model",
            steps=40,
            batch_size=16,
            mini_batch_size=mini_batch,
            learning_rate=3e-3,
            text_max_length=24,
            code_max_length=48,
            logging_steps=2,
            bf16=True,
            num_workers=2,
            trainer={"disable_tqdm": True},
        )
    )
    curve = losses(tmp_path / "model")
    assert curve[-1] < curve[0] / 2
    vectors = SentenceTransformer(str(tmp_path / "model")).encode(
        ["merge the header of a file"], convert_to_tensor=True
    )
    assert torch.isfinite(vectors).all()


def test_listed_documents_need_the_kernel_only_where_it_is_there():
    config = CodeSageModel(CodeSageConfig(**STEADY, num_hidden_layers=0, vocab_size=8, pad_token_id=2)).config
    device = torch.device("cuda", 0)
    assert not takes_listed(config, device, torch.float32, training=True)
    config.attention_dropout_prob = 0.1
    assert not takes_listed(config, device, torch.bfloat16, training=True)
    assert takes_listed(config, device, torch.bfloat16, training=False)
