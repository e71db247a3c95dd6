"""A token table stored as its trained rows: what is read back, and what is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipkit import load_clip
from clipkit.compact_rows import IDS, ROWS, TABLE, VOCABULARY, compact, expand, untrained_rows
from clipkit.errors import InputError
from clipkit.load import EMBEDDED_FILE
from clipkit.weights import read_weights

STATED = {"clip_structure": "openai"}
TRAINED = [3, 320, 1125, 49406, 49407]


@pytest.fixture(scope="module")
def whole() -> dict[str, torch.Tensor]:
    """The embedded CLIP's weights, with all rows of the token table."""
    return read_weights(EMBEDDED_FILE)


def test_trained_rows_come_back_to_the_bit_and_the_others_from_the_fixed_function(whole, tmp_path):
    file = tmp_path / "compact.safetensors"
    save_file(compact(whole, TRAINED), file, metadata=STATED)
    assert TABLE not in load_file(file)
    assert file.stat().st_size < sum(v.nbytes for k, v in whole.items() if k != TABLE) + 20_000
    loaded = load_clip("", str(file)).token_embedding.weight
    assert loaded.shape == (VOCABULARY, whole[TABLE].shape[1])
    assert torch.equal(loaded[TRAINED], whole[TABLE][TRAINED].float())
    others = torch.ones(VOCABULARY, dtype=torch.bool)
    others[TRAINED] = False
    assert torch.equal(loaded[others], untrained_rows(loaded.shape[1], whole[TABLE].dtype)[others].float())
    assert read_weights(file).keys() == whole.keys()


def test_the_fixed_function_is_the_same_in_every_run_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = untrained_rows(128, torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, untrained_rows(128, torch.float32))
    assert abs(first.mean()) < 1e-4
    assert abs(first.std() - 0.02) < 1e-4
    # Written down once: another value here means that runs with untrained words no longer repeat.
    assert first[0, :3].tolist() == [0.008611364290118217, 0.0002898270031437278, -0.013259800150990486]


def test_a_whole_table_is_left_as_it_is(whole):
    assert expand(whole, "x") is whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop(IDS), "either"),
        (lambda w: w.pop(ROWS), "either"),
        (lambda w: w.update({TABLE: w[ROWS].clone()}), "either"),
        (lambda w: w.update({IDS: w[IDS][:-1]}), "do not fit together"),
        (lambda w: w.update({IDS: w[IDS].float()}), "do not fit together"),
        (lambda w: w.update({ROWS: w[ROWS].flatten()}), "do not fit together"),
        (lambda w: w.update({IDS: torch.full_like(w[IDS], 7)}), "different token ids"),
        (lambda w: w[IDS].__setitem__(0, VOCABULARY), "different token ids"),
        (lambda w: w[IDS].__setitem__(0, -1), "different token ids"),
    ],
)
def test_damage_is_named_with_the_file(whole, tmp_path, change, words):
    weights = compact({TABLE: whole[TABLE], "logit_scale": whole["logit_scale"]}, TRAINED)
    change(weights)
    file = tmp_path / "damaged.safetensors"
    save_file(weights, file, metadata=STATED)
    with pytest.raises(InputError, match=words) as caught:
        read_weights(file)
    assert str(file) in str(caught.value)
