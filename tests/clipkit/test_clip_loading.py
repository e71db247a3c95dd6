import copy
import hashlib
import urllib.error
import warnings

import pytest
import safetensors.torch
import torch

import clipkit
from clipkit import ImageEncoder, InputError, TextEncoder, load_clip, openai_clip
from clipkit.architecture import OPENAI, read_architecture
from clipkit.build import build_empty


@pytest.fixture(scope="module")
def files(vit, tmp_path_factory):
    """The tiny ViT in the three formats."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(vit.state_dict(), folder / "plain.pt")
    safetensors.torch.save_file(vit.state_dict(), folder / "plain.safetensors", metadata={"clip_structure": "openai"})
    archive_like_openai(vit, folder / "archive.pt", 32)
    return folder


def archive_like_openai(model, path, size):
    model = copy.deepcopy(model)
    for name, value in {"input_resolution": size, "context_length": 77, "vocab_size": 49408}.items():
        if name in model.__dict__:
            delattr(model, name)
        model.register_buffer(name, torch.tensor(value))
    example = torch.zeros(1, 3, size, size), clipkit.tokenize("a cat")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, example, check_trace=False).save(str(path))


@pytest.mark.parametrize("file", ["plain.pt", "plain.safetensors", "archive.pt"])
def test_three_formats_give_the_same_model(vit, files, file, gen):
    model = load_clip("", path=str(files / file), spec="openai")
    assert isinstance(model, openai_clip.CLIP)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in vit.state_dict().items())
    assert clipkit.fingerprint(model) == clipkit.fingerprint(vit)
    tokens, image = clipkit.tokenize(["a cat", "a dog"]), torch.randn(2, 3, 32, 32, generator=gen)
    torch.testing.assert_close(model.encode_text(tokens), vit.encode_text(tokens))  # the stock path, with its mask
    torch.testing.assert_close(ImageEncoder(model)(image), vit.encode_image(image), atol=1e-5, rtol=0)


def test_resnet_archive(resnet, tmp_path, gen):
    archive_like_openai(resnet, tmp_path / "rn.pt", 64)
    model = load_clip("", path=str(tmp_path / "rn.pt"))
    image = torch.randn(2, 3, 64, 64, generator=gen)
    torch.testing.assert_close(ImageEncoder(model)(image), resnet.encode_image(image))


def test_loading_draws_nothing(files):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_clip("", path=str(files / "plain.pt"), spec="openai")
    assert torch.equal(torch.rand(1), expected)


def test_fp16_storage(vit, files):
    model = load_clip("", path=str(files / "plain.pt"), spec="openai", precision="fp16")
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    single = ("ln_", "token_embedding", "positional_embedding", "class_embedding", "logit_scale")
    for name, dtype in types.items():
        assert dtype == (torch.float32 if any(word in name for word in single) else torch.float16), name
    assert TextEncoder(model).dtype == ImageEncoder(model).dtype == torch.float16
    features = TextEncoder(model).encode_texts(["a cat", "two dogs"])
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, TextEncoder(vit).encode_texts(["a cat", "two dogs"]), atol=1e-2, rtol=0)
    for precision in ("fp32", "amp", "bf16"):
        model = load_clip("", path=str(files / "plain.pt"), spec="openai", precision=precision)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_half_precision_file_keeps_its_values(vit, tmp_path):
    """OpenAI's files hold fp16; one file has one fingerprint whatever precision it is run in."""
    half = openai_clip.convert_weights(model := copy.deepcopy(vit)) or model
    torch.save(half.state_dict(), tmp_path / "half.pt")
    single, stored = (
        load_clip("", path=str(tmp_path / "half.pt"), precision=p, spec="openai") for p in ("fp32", "fp16")
    )
    assert torch.equal(single.text_projection, half.text_projection.float())
    assert clipkit.fingerprint(single) == clipkit.fingerprint(stored) != clipkit.fingerprint(vit)


@pytest.mark.parametrize("file", ["plain.pt", "plain.safetensors", "archive.pt"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.98])
def test_truncated_files(files, tmp_path, file, keep):
    content = (files / file).read_bytes()
    short = tmp_path / file
    short.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=f"{file}.*damaged"):
        load_clip("", path=str(short))


def test_files_that_are_no_clip(vit, tmp_path):
    for content, message in [
        ({"a": torch.zeros(1)}, "does not hold the weights of an OpenAI CLIP"),
        ({"epoch": 3}, "no state dict"),
        ({key: value for key, value in vit.state_dict().items() if key != "ln_final.bias"}, "ln_final.bias"),
        ({**vit.state_dict(), "extra": torch.zeros(1)}, "extra"),
        ({**vit.state_dict(), "visual.ln_pre.bias": torch.zeros(3)}, "visual.ln_pre.bias"),
    ]:
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(InputError, match=message) as caught:
            load_clip("", path=str(tmp_path / "other.pt"))
        assert "other.pt" in str(caught.value)
    with pytest.raises(InputError, match="No CLIP weights at .*nowhere.pt"):
        load_clip("ViT-B/16", path=str(tmp_path / "nowhere.pt"))


def test_names(files):
    assert clipkit.available_backbones()[-1] == "Embedded"
    assert set(clipkit.available_backbones()[:-1]) == set(openai_clip.URLS)
    with pytest.raises(InputError, match="'ViT-B16'.*: choose one of ViT-B/16, "):
        load_clip("ViT-B16")
    with pytest.raises(InputError, match="'rn-50'.*: choose one of RN50"):
        load_clip("random:rn-50")
    with pytest.raises(InputError, match="'half'.*fp32, amp, bf16, fp16"):
        load_clip("ViT-B/16", precision="half")
    with pytest.raises(InputError, match="plain.pt.*another architecture.*ViT-B/16"):
        load_clip("ViT-B/16", path=str(files / "plain.pt"))


@pytest.mark.parametrize("name", list(OPENAI))
def test_architecture_is_read_from_the_weights(name):
    weights = build_empty(OPENAI[name]).state_dict()
    assert read_architecture(weights, "file") == OPENAI[name]


def test_file_of_another_backbone(tmp_path, monkeypatch):
    weights = build_empty(OPENAI["ViT-B/32"]).state_dict()
    monkeypatch.setattr("clipkit.load.read_weights", lambda file: weights)
    with pytest.raises(InputError, match="holds ViT-B/32, but MODEL.BACKBONE.NAME is ViT-B/16"):
        load_clip("ViT-B/16", path=str(tmp_path / "b32.pt"))


def test_random_weights_are_seeded(monkeypatch, vit):
    tiny = OPENAI["ViT-B/32"]._replace(vision_layers=1, vision_width=64, text_layers=1)
    monkeypatch.setitem(OPENAI, "ViT-B/32", tiny)
    state = torch.get_rng_state()
    first = load_clip("random:ViT-B/32")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert clipkit.fingerprint(first) == clipkit.fingerprint(load_clip("random:ViT-B/32"))
    assert first.visual.conv1.weight.shape == (64, 3, 32, 32)
    with pytest.raises(InputError, match="Embedded is none"):
        load_clip("random:Embedded")


def test_no_network(tmp_path, monkeypatch):
    def refuse(url):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(InputError) as caught:
        load_clip("ViT-B/16", download_root=str(tmp_path))
    for word in ("no route to host", "MODEL.BACKBONE.PATH", openai_clip.URLS["ViT-B/16"], str(tmp_path)):
        assert word in str(caught.value)
    assert not list(tmp_path.glob("*.pt"))


def test_download(vit, files, tmp_path, monkeypatch):
    digest = hashlib.sha256((files / "archive.pt").read_bytes()).hexdigest()
    (tmp_path / digest).mkdir()
    (tmp_path / digest / "ViT-B-16.pt").write_bytes((files / "archive.pt").read_bytes())
    monkeypatch.setitem(openai_clip.URLS, "ViT-B/16", f"file://{tmp_path}/{digest}/ViT-B-16.pt")
    cache = tmp_path / "cache"
    assert clipkit.fingerprint(load_clip("ViT-B/16", download_root=str(cache))) == clipkit.fingerprint(vit)
    monkeypatch.setattr("urllib.request.urlopen", None)  # the second time comes from the cache
    assert load_clip("ViT-B/16", download_root=str(cache)).backbone_name == "ViT-B/16"


def test_embedded():
    from clipkit.load import EMBEDDED_FILE

    if not EMBEDDED_FILE.is_file():
        with pytest.raises(InputError, match="embedded CLIP is missing"):
            load_clip("Embedded")
        return
    model = load_clip("Embedded")
    assert load_clip("Embedded", path=str(EMBEDDED_FILE)).backbone_name == "Embedded"
    size = ImageEncoder(model).input_size
    assert ImageEncoder(model)(torch.zeros(1, 3, size, size)).shape == (1, TextEncoder(model).embed_dim)
