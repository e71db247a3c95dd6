"""The words of the entrance: what each leads to, says and is shown with. Nothing is imported for it."""

from __future__ import annotations

from typing import NamedTuple


class Door(NamedTuple):
    """target: what stands after `python -m`; empty for the entrance's own words. does: one line of help. example: the
    words after `robustprompt`. then: words that may follow, as completion offers them."""

    target: str
    does: str
    example: str
    then: tuple[str, ...] = ()


EMBEDDED = "configs/suites/embedded.yaml"
_COOP = (
    "--root data --seed 1 --trainer CoOp --dataset-config-file configs/datasets/digits.yaml"
    " --config-file configs/trainers/CoOp/embedded.yaml --output-dir output/try DATASET.NUM_SHOTS 16"
)

GROUPS: dict[str, dict[str, Door]] = {
    "one run": {
        "train": Door("train", "train and test one method; the flags are CoOp's", f"train {_COOP}"),
        "show-config": Door("train --show-config", "its config, each value with its source", f"show-config {_COOP}"),
        "protocol": Door("runs", "a protocol, as scripts/ call it", "protocol base2new_train CoOp digits 1"),
        "predict": Door("predict", "a trained model on images", "predict --model-dir output/try --top 3 photos/"),
        "robustness": Door("robustness", "a trained method under attack", "robustness CoOp digits 1 4 20 W"),
    },
    "many runs": {
        "plan": Door("bench plan", "what a suite asks for, what is done, the time left", f"plan {EMBEDDED}"),
        "run": Door("bench run", "run what is not done, here or on Slurm", f"run {EMBEDDED} --jobs 2"),
        "status": Door("bench status", "where every run stands, failed ones with their error", f"status {EMBEDDED}"),
        "retry": Door("bench retry", "forget failures, so that `run` takes them again", f"retry {EMBEDDED}"),
        "select": Door("bench select", "choose settings among candidates", "select configs/suites/selection.yaml"),
        "clean": Door("bench clean", "remove folders of runs", f"clean {EMBEDDED} --failed"),
    },
    "results": {
        "table": Door("bench.table", "Base / New / HM of everything in a folder", "table output"),
        "collect": Door("bench collect", "every result as one table", "collect output --csv results.csv"),
        "compare": Door("bench compare", "beside the published numbers", "compare output --paper all"),
        "card": Door("bench card", "every method on every axis of robustness", "card output/card --html card.html"),
        "report": Door("bench report", "results as one HTML page", "report output/embedded"),
        "score": Door("bench score", "figures of tests from their outputs alone", "score output/embedded"),
        "corruptions": Door("bench corruptions", "mCE against zero-shot CLIP", "corruptions output"),
        "pack": Door("bench pack", "results alone, in one small file", "pack output/embedded results.tar.xz"),
        "claims": Door("bench claims", "the papers' claims, tried on runs", "claims plan", ("plan", "run")),
    },
    "data and weights": {
        "data": Door(
            "datasets", "what is there, how to get it, lists, corrupted sets", "data doctor --root data",
            ("doctor", "prepare", "items", "noise", "attack", "corrupt"),
        ),
        "noise": Door("datasets noise", "label noise, with its matrix", "noise digits --type sym_other --rate 0.4"),
        "attack": Door("datasets attack", "an adversarial test set", "attack digits --eps 1 --steps 7"),
        "language": Door("language", "descriptions and novel names", "language check", ("check", "encode")),
        "cache": Door("clipkit cache", "cached features", "cache show", ("show", "verify", "clear")),
        "export": Door(
            "clipkit export", "a checkpoint, to the form of the reference implementations or back",
            "export output/try/prompt_learner/model.pth.tar-50 --full --output full.tar",
        ),
    },
    "methods": {
        "new": Door("trainers new", "start a method: trainer, configs, scripts, test", "new MyMethod --from CoOp"),
        "export-method": Door("trainers export", "into a checkout of CoOp or MaPLe", "export-method TCP --to ../CoOp"),
    },
    "this checkout": {
        "list": Door(
            "", "its methods, datasets, protocols, suites", "list methods",
            ("methods", "datasets", "protocols", "suites"),
        ),
        "doctor": Door("", "Python, torch, CUDA, weights, data, cache, disk, locks", "doctor --root data"),
        "completion": Door("", "completion for bash and zsh", 'eval "$(robustprompt completion)"'),
    },
}  # fmt: skip
DOORS: dict[str, Door] = {word: door for group in GROUPS.values() for word, door in group.items()}
