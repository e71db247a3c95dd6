"""Protocols of label noise: synthetic noise, the same in a source dataset with tests on others, real-world noise.

Every run also saves the confusion matrix of its test (confusion.json). See `runs/protocols.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError

from .arguments import Settings, arguments, test_mode, train_mode
from .config_names import UNTRAINED
from .targets import TARGETS, default_source, expand, parts_of
from .words import number

# {source: test datasets}; for ImageNet the four of DP-SEP's Table 3
NOISE_TARGETS = {"imagenet": ("oxford_pets", "food101", "dtd", "ucf101"), "shapes": TARGETS["shapes"]}
# {dataset with noise of its own: (config key of its test sets, the one of the training run, the other one)}
REAL_NOISE = {
    "food101n": ("DATASET.FOOD101N.TEST", "coop", "official"),
    "webvision": ("DATASET.WEBVISION.TEST", "webvision_val", "ilsvrc12_val"),
}
ON_REAL = ("real_noise_train", "real_noise_test")
MADE = ("noise_train", "noise_xd_train", "noise_xd_test")  # their pairs begin with TYPE and RATE
CONFUSION = ["TEST.COMPUTE_CMAT", "True"]


def take_noise(trainer: str, settings: Settings, script: str) -> tuple[str, list[str], Settings]:
    """Take the noise's type and rate from the beginning of `settings.pairs`.

    Returns ("sym_other_r0500", config pairs, settings without the two). A method without training gets no noise in its
    pairs. Raises InputError if the two are missing or wrong.
    """
    if len(settings.pairs) < 2:
        raise InputError(f"TYPE and RATE of the noise are needed, for example: {script} 1 sym_other 0.5")
    kind, rate, *pairs = settings.pairs
    share = number(rate)
    if share is None or not 0 <= share < 1:
        raise InputError(f"RATE is {rate!r}, but must be a number from 0 to below 1, such as 0.5.")
    thousandths = round(1000 * share)
    noise = [] if trainer in UNTRAINED else ["DATASET.NOISE.TYPE", kind, "DATASET.NOISE.RATE", rate]
    return f"{kind}_r{thousandths:04d}", noise, replace(settings, pairs=tuple(pairs))


def _asked(noise: str) -> dict[str, object]:
    """The noise for results.json, from "sym_other_r0500"."""
    kind, _, thousandths = noise.rpartition("_r")
    return {"noise_type": kind, "noise_rate": int(thousandths) / 1000}


def noise_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on all classes with wrong labels, then test on them."""
    noise, noise_pairs, own = take_noise(trainer, settings, "noise_train.sh digits")
    cfg = own.config(trainer, dataset, "FS")
    folder = Path(own.output) / "noise" / dataset / noise / f"shots_{own.shots}" / trainer / cfg / f"seed{seed}"
    pairs = ["DATASET.NUM_SHOTS", str(own.shots), "TASK", "FS", *noise_pairs, *CONFUSION]
    return arguments(trainer, dataset, seed, own, cfg, folder, train_mode(trainer), pairs, _asked(noise))


# ---------------------------------------------------------------------- cross-dataset


def noise_xd_folder(trainer: str, source: str, tested: str, noise: str, seed: int, settings: Settings) -> Path:
    """The folder of the test on `tested`; the training run is the one with `tested` equal to its source."""
    cfg = settings.config(trainer, source, "CD")
    where = Path(settings.output) / "noise_xd" / source / noise / tested
    return where / trainer / f"{cfg}_{settings.shots}shots" / f"seed{seed}"


def noise_xd_train(trainer: str, source: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on all classes of the source with wrong labels, and test on them."""
    noise, noise_pairs, own = take_noise(trainer, settings, f"noise_xd_train.sh {source}")
    folder = noise_xd_folder(trainer, source, source, noise, seed, own)
    pairs = ["DATASET.NUM_SHOTS", str(own.shots), "TASK", "CD", *noise_pairs, *CONFUSION]
    cfg = own.config(trainer, source, "CD")
    return arguments(trainer, source, seed, own, cfg, folder, train_mode(trainer), pairs, _asked(noise))


def noise_xd_test(trainer: str, target: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the model that was trained on the noisy source on all classes of another dataset."""
    noise, _, own = take_noise(trainer, settings, f"noise_xd_test.sh {target}")
    source = own.source or default_source(target)
    trained = noise_xd_folder(trainer, source, source, noise, seed, own)
    folder = noise_xd_folder(trainer, source, target, noise, seed, own)
    mode = test_mode(trainer, trained, own, f"noise_xd_train.sh {source} {seed} {' '.join(settings.pairs[:2])}")
    cfg = own.config(trainer, source, "CD")
    pairs = ["TASK", "CD", *CONFUSION]
    return arguments(trainer, target, seed, own, cfg, folder, mode, pairs, {"source": source, **_asked(noise)})


# ---------------------------------------------------------------------- real-world noise


def real_noise_folder(trainer: str, dataset: str, seed: int, settings: Settings, tested: str = "") -> Path:
    """The folder of the training run, or of the test of its weights on the test set `tested`."""
    shots = "all" if settings.shots < 1 else settings.shots
    where = Path(settings.output) / "real_noise" / (f"{dataset}_{tested}" if tested else dataset) / f"shots_{shots}"
    return where / trainer / _real_config(trainer, dataset, settings) / f"seed{seed}"


def real_noise_train(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: train on SHOTS web images per class (-1: on all of them) as they are labelled, then
    test."""
    folder = real_noise_folder(trainer, dataset, seed, settings)
    return _real_noise(trainer, dataset, seed, settings, folder, train_mode(trainer), [])


def real_noise_test(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test the trained weights on the dataset's other test set, or the one that a pair names."""
    key, _, other = REAL_NOISE[dataset]
    given = dict(zip(settings.pairs[::2], settings.pairs[1::2], strict=False))
    trained = real_noise_folder(trainer, dataset, seed, settings)
    folder = real_noise_folder(trainer, dataset, seed, settings, given.get(key, other))
    mode = test_mode(trainer, trained, settings, f"real_noise_train.sh {dataset} {seed}")
    target = folder.parts[-5]  # <dataset>_<test set>
    return _real_noise(trainer, dataset, seed, settings, folder, mode, [key, other], target)


def second_test(
    protocol: str, trainer: str, dataset: str, seed: int, settings: Settings, first: list[str]
) -> list[list[str]]:
    """The run after `first` in the same call, if any: WebVision's weights are also tested on ILSVRC12."""
    if protocol != "real_noise_train" or dataset != "webvision":
        return []
    if trainer not in UNTRAINED and not settings.load_epoch:
        from .options import build_parser  # imported here, since they import torch
        from .setup import setup_cfg

        last = setup_cfg(build_parser().parse_args(first)).OPTIM.MAX_EPOCH  # `first` has not run yet
        settings = replace(settings, load_epoch=str(last))
    return [real_noise_test(trainer, dataset, seed, settings)]


def _real_noise(
    trainer: str, dataset: str, seed: int, settings: Settings, folder: Path, mode: list[str], pairs: list[str],
    target: str = "",
) -> list[str]:  # fmt: skip
    pairs = ["DATASET.NUM_SHOTS", str(settings.shots), "TASK", "FS", *CONFUSION, *pairs]
    about = {"target": target or dataset, "shots": settings.shots if settings.shots > 0 else -1, "noise_type": "real"}
    cfg = _real_config(trainer, dataset, settings)
    return arguments(trainer, dataset, seed, settings, cfg, folder, mode, pairs, about)


def _real_config(trainer: str, dataset: str, settings: Settings) -> str:
    """The name of the config; training on all images uses the config for the largest number of shots."""
    many = settings.shots if settings.shots > 0 else 10**6
    return replace(settings, shots=many).config(trainer, dataset, "FS")


# ---------------------------------------------------------------------- datasets


def datasets_of(protocol: str, where: str, source: str = "", plugins: Iterable[str] = ()) -> list[str]:
    """Dataset names from a script's DATASET argument, as `targets.expand`; `all` depends on the protocol."""
    if protocol == "noise_train":
        return expand(protocol, where, "", plugins)
    parts = parts_of(where)
    if protocol == "noise_xd_test" and "all" in parts:
        if (source or "imagenet") not in NOISE_TARGETS:
            known = " and ".join(NOISE_TARGETS)
            raise InputError(f"`all` is known for SOURCE {known}, not for {source}; name the datasets, with commas.")
        parts = [name for part in parts for name in (NOISE_TARGETS[source or "imagenet"] if part == "all" else [part])]
    if protocol in ON_REAL:
        parts = [name for part in parts for name in (REAL_NOISE if part == "all" else [part])]
        for name in parts:
            if name not in REAL_NOISE:
                raise InputError(f"{name} has no noise of its own; {' and '.join(REAL_NOISE)} have.")
    return expand("xd_train", ",".join(parts), "", plugins)


PROTOCOLS = {
    "noise_train": noise_train,
    "noise_xd_train": noise_xd_train,
    "noise_xd_test": noise_xd_test,
    "real_noise_train": real_noise_train,
    "real_noise_test": real_noise_test,
}
