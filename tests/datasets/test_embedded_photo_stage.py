"""The third stage of the embedded CLIP's training: what it reads, what it leaves alone, that it stops and continues."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from clipkit import TextEncoder, load_clip
from clipkit.compact_rows import IDS, ROWS, compact
from clipkit.weights import EMBEDDED_FILE, read_weights
from datasets.caltech101 import Caltech101
from datasets.embedded import photo_check, train_photos
from datasets.embedded.captions import Captioner, encode, load_descriptions
from datasets.embedded.fast_clip import encode_image
from datasets.embedded.held import Held, disguised
from datasets.embedded.photo_data import FOLDER, IMAGES, RENAMES, SPLIT, is_left_out, load_photos, random_view
from datasets.embedded.photo_facts import FACTS, WORDS, fact_phrase, facts_of
from datasets.embedded.photo_trainer import PhotoRecipe, PhotoTrainer
from datasets.embedded.train_photos import trained_ids

TINY = PhotoRecipe(steps=3, photos=6, scenes=4, bank=16, pool=5, full_from=0.5)
# Label, name as it is written, pictures: labels 3 and 7 are left out.
CLASSES = [(1, "Leopards"), (2, "Motorbikes"), (3, "accordion"), (5, "anchor"), (7, "barrel"), (18, "car_side")]


def picture(number: int, size: tuple[int, int]) -> Image.Image:
    pixels = torch.randint(256, (*size, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


@pytest.fixture(scope="module")
def second_stage(tmp_path_factory) -> Path:
    """A file like the second stage's: the shipped one without the rows of the photographs' words."""
    folder = tmp_path_factory.mktemp("second_stage")
    for name in ("training.json", "trained_tokens.json"):
        (folder / name).write_bytes((EMBEDDED_FILE.parent / name).read_bytes())
    words = Captioner(load_descriptions()).vocabulary()
    rows = compact(read_weights(EMBEDDED_FILE), words)
    save_file(rows, folder / "clip.safetensors", metadata={"clip_structure": "openai"})
    return folder / "clip.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Photographs in the published layout. Those that may not be opened are no pictures at all."""
    root = tmp_path_factory.mktemp("photographs")
    folder = root / "caltech-101"
    lists: dict[str, list] = {"train": [], "val": [], "test": []}
    for label, name in CLASSES:
        (folder / "101_ObjectCategories" / name).mkdir(parents=True)
        for number, part in enumerate(("train", "train", "val", "test")):
            file = f"{name}/image_{number:04d}.jpg"
            lists[part].append([file, label, name])
            if part == "train" and not is_left_out(label):
                picture(label, (70, 90 + label)).save(folder / "101_ObjectCategories" / file)
            else:
                (folder / "101_ObjectCategories" / file).write_bytes(b"not to be opened")
    (folder / "split_zhou_Caltech101.json").write_text(json.dumps(lists), encoding="utf-8")
    (root / "cifar10").mkdir()
    with tarfile.open(root / "cifar10" / "cifar10_images.tar", "w") as tar:
        for part, name, number in (("train", "frog", 0), ("train", "ship", 1), ("test", "frog", 2)):
            stream = io.BytesIO()
            picture(number, (32, 32)).save(stream, "PNG")
            content = stream.getvalue() if part == "train" else b"not to be opened"
            member = tarfile.TarInfo(f"{part}/{name}/{number:04d}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return root


def test_only_training_pictures_of_other_classes_are_opened(root):
    photos = load_photos(root)
    found = [photos.names[i] for i in photos.labels]
    assert found == [*["leopard"] * 2, *["motorbike"] * 2, *["anchor"] * 2, *["car side"] * 2, "frog", "ship"]
    assert photos.left_out == ("accordion", "barrel")
    assert photos.pictures[0].shape == (3, 64, 83)  # the shorter side of 70 x 91 pixels
    assert photos.pictures[-1].shape == (3, 32, 32)


def test_caltech101_is_read_as_by_the_dataset():
    assert (Caltech101.dataset_dir, Caltech101.split_file, Caltech101.image_dir) == (FOLDER, SPLIT, IMAGES)
    assert Caltech101.renames == RENAMES


def test_every_fourth_class_of_the_published_split_is_left_out():
    assert [label for label in range(100) if is_left_out(label)] == list(range(3, 100, 4))


def test_missing_photographs_end_in_a_sentence(tmp_path, capsys, second_stage):
    arguments = ["--weights", str(second_stage), "--root", str(tmp_path), "--out", str(tmp_path / "out"), "--smoke"]
    assert train_photos.main(arguments) == 2
    assert "split_zhou_Caltech101.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_with_a_whole_table_are_refused(tmp_path, capsys, root):
    whole = tmp_path / "whole.safetensors"
    save_file({key: value.contiguous() for key, value in read_weights(EMBEDDED_FILE).items()}, whole)
    arguments = ["--weights", str(whole), "--root", str(root), "--out", str(tmp_path / "out"), "--smoke"]
    assert train_photos.main(arguments) == 2
    assert "rows of all tokens" in capsys.readouterr().err


def test_views_are_parts_of_the_picture_at_the_models_size():
    g = torch.Generator().manual_seed(0)
    ramp = torch.arange(64, dtype=torch.uint8).expand(3, 64, 64) * 4
    views = torch.stack([random_view(ramp, g) for _ in range(40)])
    assert views.shape == (40, 3, 48, 48) and views.min() >= 0 and views.max() <= 1
    rising = (views[:, 0, 0, -1] > views[:, 0, 0, 0]).float().mean()
    assert 0.2 < rising < 0.8  # the others are mirrored


def test_phrases_say_true_facts_and_never_the_name():
    rng = random.Random(0)
    for name in FACTS:
        for _ in range(10):
            phrase, said = fact_phrase(name, rng)
            assert said and said <= facts_of(name)
            assert all(fact in phrase for fact in said)
            assert name not in facts_of(name)
    assert len(WORDS) > 150


def test_facts_tell_nearly_all_classes_apart():
    """A gerenuk, like a deer, is a slender brown animal with horns; no facts tell the two apart."""
    alike = [(a, b) for a in FACTS for b in FACTS if a < b and facts_of(a) == facts_of(b)]
    assert alike == [("deer", "gerenuk")]


def test_disguises_stay_pictures_and_are_drawn_by_the_generator():
    x = torch.rand(8, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    one, two = (disguised(x, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two) and one.shape == x.shape and one.min() >= 0 and one.max() <= 1
    assert (one - x).abs().mean() > 0.05


def test_the_held_loss_is_zero_until_the_tower_moves():
    clip = load_clip("Embedded")
    anchors = F.normalize(TextEncoder(clip).encode_texts(["a star", "a circle", "a cloud"]), dim=-1).detach()
    held, chosen = Held(clip, 16, anchors, 0, torch.float32), torch.arange(16)
    distance, divergence = held.loss(clip, chosen, torch.float32)
    assert distance.abs() < 1e-5 and divergence.abs() < 1e-5
    with torch.no_grad():
        clip.visual.proj.add_(0.3 * clip.visual.proj.std() * torch.randn(clip.visual.proj.shape))
    moved, divergence = held.loss(clip, chosen, torch.float32)
    pixels = (held.pictures.float() / 255 - train_mean()) / train_std()
    now = F.normalize(encode_image(clip, pixels, None, torch.float32), dim=-1)
    torch.testing.assert_close(moved, (1 - (now * held.features).sum(1)).mean(), atol=1e-5, rtol=1e-4)
    before, after = ((100 * f @ anchors.t()).softmax(-1) for f in (held.features, now))
    wanted = (before * (before.log() - after.log())).sum(1).mean()
    torch.testing.assert_close(divergence, wanted, atol=1e-4, rtol=1e-3)
    assert moved > 1e-3


def train_mean() -> torch.Tensor:
    return torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(1, 3, 1, 1)


def train_std() -> torch.Tensor:
    return torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(1, 3, 1, 1)


def test_a_stopped_run_continues_to_the_bit_and_no_known_text_changes(tmp_path: Path, root, second_stage):
    train_photos.train(second_stage, root, TINY, tmp_path / "whole")
    train_photos.train(second_stage, root, TINY, tmp_path / "parts", stop_after=2)
    assert not (tmp_path / "parts" / "clip.safetensors").exists()
    train_photos.train(second_stage, root, TINY, tmp_path / "parts")
    whole, parts = (load_file(tmp_path / folder / "clip.safetensors") for folder in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()

    shipped = load_file(second_stage)
    known = len(shipped[IDS])
    assert torch.equal(whole[IDS][:known], shipped[IDS]) and torch.equal(whole[ROWS][:known], shipped[ROWS])
    text = [key for key in shipped if not key.startswith("visual.") and key not in (IDS, ROWS)]
    assert all(torch.equal(whole[key], shipped[key]) for key in text)
    assert not torch.equal(whole["visual.proj"], shipped["visual.proj"])
    assert whole[IDS][known:].tolist() == sorted(set(whole[IDS][known:].tolist()))
    assert set(encode("okapi scissors bellows.")[:-1]) & set(whole[IDS][known:].tolist())
    model = load_clip("", str(tmp_path / "whole" / "clip.safetensors"))
    texts = ["a photo of a star.", "X X X X striped circle."]
    before, after = (TextEncoder(m).encode_texts(texts) for m in (load_clip("", str(second_stage)), model))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)

    facts = json.loads((tmp_path / "parts" / "training.json").read_text(encoding="utf-8"))
    assert facts["text"] and facts["photos"]["history"][-1]["step"] == 3
    assert facts["photos"]["left_out"] == ["accordion", "barrel"] and facts["photos"]["photographs"] == 10
    words = json.loads((tmp_path / "whole" / "trained_tokens.json").read_text(encoding="utf-8"))
    assert words[str(encode("scissors")[0])] == "scissors</w>"


def test_photographs_are_learned_and_names_without_any_move_by_text(root, second_stage):
    """Twenty steps on ten pictures: the losses fall, and the row of a left-out class's name changes."""
    recipe = PhotoRecipe(steps=20, photos=12, scenes=8, bank=16, pool=16, patch_share=1.0)
    trainer = PhotoTrainer(load_clip("", str(second_stage)), trained_ids(second_stage), load_photos(root), recipe)
    accordion = trainer.new.index(encode("accordion")[0])
    first = trainer.rows[accordion].detach().clone()
    history = [trainer.step(step / recipe.steps) for step in range(recipe.steps)]
    early, late = ({key: sum(row[key] for row in part) for key in part[0]} for part in (history[:5], history[-5:]))
    assert late["name"] < early["name"] and late["text"] < early["text"]
    assert not torch.equal(trainer.rows[accordion], first)


def test_an_unknown_setting_is_named(tmp_path, root, capsys, second_stage):
    arguments = ["--weights", str(second_stage), "--root", str(root), "--out", str(tmp_path), "--set"]
    assert train_photos.main([*arguments, "stpes=3"]) == 2
    assert "stpes" in capsys.readouterr().err
    assert train_photos.main([*arguments, "steps=many"]) == 2
    assert "'many' is no number" in capsys.readouterr().err


def test_the_check_tells_seen_and_left_out_classes_apart(root, tmp_path, capsys):
    """Three kinds of photographs; those of the split that is asked for must be readable."""
    copy = tmp_path / "caltech-101"
    shutil.copytree(root / "caltech-101", copy)
    for label, name in CLASSES:
        picture(label, (60, 60)).save(copy / "101_ObjectCategories" / name / "image_0002.jpg")
    assert photo_check.main(["--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "all 6 classes", "photographs seen in training", "left out of training",
    ]  # fmt: skip
    assert "of 4) among these 4 names" in lines[1]
    assert "of 2) among these 2 names; chance 50.0 %" in lines[2]
    assert photo_check.main(["--root", str(tmp_path / "nothing")]) == 2
    assert "split_zhou_Caltech101.json" in capsys.readouterr().err


def test_exchanged_names_are_no_better_than_chance():
    g = torch.Generator().manual_seed(0)
    assert photo_check.permuted(torch.eye(8), g) < 0.01
    assert photo_check.permuted(torch.full((8, 8), 1 / 8), g) == 1
    one_answer = torch.zeros(8, 8).index_fill_(1, torch.tensor([3]), 1.0)  # always the same class: nothing is known
    assert photo_check.permuted(one_answer, g) == 1
