"""Every way into the project: how it is called, what a whole command looks like, which files it reads."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from helpers import FITTING
from world import RUN, TEST, train_arguments

MODEL = f"{RUN}/prompt_learner"
RECORDS = (f"{RUN}/results.json", f"{TEST}/results.json", f"{RUN}/config.yaml", f"{RUN}/log.txt", f"{TEST}/log.txt")
FOLDER = {
    "DATASET.NAME": "Folder", "DATASET.FOLDER.PATH": "pics", "DATASET.SUBSAMPLE_CLASSES": "all",
    "DATALOADER.TRAIN_X.BATCH_SIZE": 4,
}  # fmt: skip
TEST_FLAGS = ("--eval-only", "--model-dir", RUN, "--load-epoch", 1)
MORE = (
    "NLPrompt",
    "JoAPR",
    "ProGrad",
    "KgCoOp",
    "CoCoOp",
    "PTNL",
    "DPSEP",
    "TextRefiner",
    "TipAdapter",
    "LPpp",
    "CoOpDePT",
    "CoCoOpATPrompt",
)
STUDY = ("run", "--datasets", "digits", "--seeds", "1", "--output", "studies")
PICTURE = "data/tiny/images/0_test_0.png"


@dataclass(frozen=True)
class Entry:
    """module, function: what takes the arguments and gives the exit code. files: patterns below the case's folder.

    trains: `out` holds a run afterwards, and config keys may be set. weight: its share of the cases. ends: with this
    exit code where nothing is changed.
    """

    module: str
    function: str
    arguments: tuple[str, ...]
    files: tuple[str, ...] = ()
    trains: bool = False
    weight: int = 2
    ends: int = 0

    def call(self, argv: list[str]) -> int:
        found: Callable[[list[str]], int] = getattr(importlib.import_module(self.module), self.function)
        return found(argv)


def _train(method: str = "CoOp", flags: tuple = (), pairs: dict | None = None, files: tuple = (), weight: int = 2):
    return Entry("train", "run", tuple(train_arguments("out", method, flags, pairs)), files, True, weight)


def _bench(*words: str, weight: int = 2, files: tuple = ("suite.yaml",)) -> Entry:
    return Entry("bench.__main__", "main", words, files, weight=weight)


YAMLS = ("--config-file", "method.yaml", "--dataset-config-file", "dataset.yaml")
SPLIT = "data/tiny/split_zhou_Tiny.json"
ENTRIES: dict[str, Entry] = {
    # one run
    "train": _train(files=(SPLIT, "data/tiny/images/*.png"), weight=10),
    "train, YAML": _train(flags=YAMLS, files=("method.yaml", "dataset.yaml"), weight=6),
    "train, own folder": _train(pairs=FOLDER, files=("data/pics/*/*.png",), weight=5),
    "train, noise": _train(pairs={"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}, files=(SPLIT,)),
    "train, best_val": _train(pairs={"TEST.FINAL_MODEL": "best_val"}, files=(SPLIT,), weight=2),
    "test": _train(flags=TEST_FLAGS, files=(f"{MODEL}/model.pth.tar-1", SPLIT), weight=8),
    "resume": _train(flags=("--resume", RUN), pairs={"OPTIM.MAX_EPOCH": 2},
                     files=(f"{MODEL}/model.pth.tar-1", f"{MODEL}/checkpoint", f"{RUN}/config.yaml"), weight=5),
    "backbone": _train("ZeroshotCLIP", files=("clip.safetensors",), weight=4),
    **{method: _train(method, weight=2) for method in FITTING if method not in ("ANPrompt",)},
    **{method: _train(method, weight=2) for method in MORE},
    "ANPrompt": _train("ANPrompt", pairs={"TRAINER.ANPROMPT.CACHE_MAIN": "cache.json",
                       "TRAINER.ANPROMPT.CACHE_NOISE": "cache.json"}, files=("cache.json",), weight=4),
    "CoOpSAR": _train("CoOpSAR", pairs={"TRAINER.SAR.NOVEL_FILE": "novel.json", "TRAINER.SAR.NUM_NOVEL": 8,
                      "TRAINER.SAR.SAMPLE_SIZE": 4}, files=("novel.json",), weight=3),
    "TPT": _train("TPT", flags=("--eval-only",), pairs={"TRAINER.TTA.N_VIEWS": 4}, weight=2),
    "RTPT": _train("RTPT", flags=("--eval-only",), pairs={"TRAINER.TTA.N_VIEWS": 4}, weight=2),
    # a trained run
    "predict": Entry("predict", "run", ("--model-dir", RUN, "--top", "2", "--format", "json", PICTURE),
                     (PICTURE, *RECORDS[:3], f"{MODEL}/model.pth.tar-1"), weight=8),
    "predict, classes": Entry("predict", "run", ("--model-dir", RUN, "--classes", "names.txt", PICTURE),
                              ("names.txt",), weight=3),
    "clipkit info": Entry("clipkit.__main__", "run", ("info", f"{MODEL}/model.pth.tar-1", "--keys"),
                          (f"{MODEL}/model.pth.tar-1",), weight=3),
    "clipkit export": Entry("clipkit.__main__", "run", ("export", f"{MODEL}/model.pth.tar-1", "--full", "--backbone",
                            "clip.safetensors", "--classes", "names.txt", "--output", "out.tar"),
                            (f"{MODEL}/model.pth.tar-1", "names.txt"), weight=3),
    "clipkit export learnable": Entry("clipkit.__main__", "run", ("export", f"{MODEL}/model.pth.tar-1", "--learnable",
                                      "--output", "out.tar"), (f"{MODEL}/model.pth.tar-1",), weight=2),
    # results
    "parse_test_res": Entry("parse_test_res", "main", ("output/base2new/train_base/digits/shots_1/CoOp/fuzz",),
                            RECORDS, weight=4),
    "parse_test_res exact": Entry("parse_test_res", "main", ("output/base2new/test_new/digits/shots_1/CoOp/fuzz",
                                  "--exact", "--test-log"), RECORDS, weight=4),
    "bench.table": Entry("bench.table", "main", ("output",), RECORDS, weight=5),
    "bench collect": _bench("collect", "output", files=RECORDS, weight=4),
    "bench compare": _bench("compare", "output", files=RECORDS, weight=2),
    "bench report": _bench("report", "output", "--output", "page.html", files=RECORDS, weight=4),
    # suites
    "bench plan": _bench("plan", "suite.yaml", "--root", "data", weight=8),
    "bench status": _bench("status", "suite.yaml", "--root", "data", weight=3),
    "bench retry": _bench("retry", "suite.yaml", "--root", "data"),
    "bench clean": _bench("clean", "suite.yaml", "--root", "data", "--all", "--yes"),
    "bench run": _bench("run", "suite.yaml", "--root", "data", "--gpus", "none", "--jobs", "1", weight=3),
    "bench work": _bench("work", "suite.yaml", "--root", "data", weight=2),
    **{f"bench.{name}": Entry(f"bench.{name}", "main", STUDY, weight=1)
       for name in ("generalization", "noise", "adversarial", "anprompt_ablation", "dpsep_ablation", "text_noise")},
    "bench.base2new": Entry("bench.base2new", "main", ("run", "--methods", "CoOp", *STUDY[1:]), weight=1),
    "bench.noise_xd": Entry("bench.noise_xd", "main", ("run", *STUDY[3:], "--rates", "0.5"), weight=1),
    "bench.sar": Entry("bench.sar", "main", ("number", *STUDY), weight=1),
    "bench.noise_analysis": Entry("bench.noise_analysis", "main", (RUN,), RECORDS[:1], weight=2),
    "bench.semantics": Entry("bench.semantics", "main", (RUN, "--new-classes", "names.txt"),
                             ("names.txt", *RECORDS[:1])),
    # data
    "datasets doctor": Entry("datasets.__main__", "main", ("doctor", "--root", "data", "Tiny"), (SPLIT,), weight=2),
    "datasets items": Entry("datasets.__main__", "main", ("items", "digits", "--root", "data", "--seed", "1"),
                            weight=1),
    "datasets prepare": Entry("datasets.__main__", "main", ("prepare", "digits", "--root", "data"), weight=1),
    "datasets noise": Entry("datasets.__main__", "main", ("noise", "Tiny", "--root", "data", "--type", "sym_other",
                            "--rate", "0.5", "--shots", "4"), (SPLIT,), weight=3),
    "datasets attack": Entry("datasets.__main__", "main", ("attack", "Tiny", "--root", "data", "--eps", "1",
                             "--steps", "1", "--backbone-path", "clip.safetensors"), (SPLIT,), weight=3),
    "language check": Entry("language.__main__", "main", ("check", "cache.json", "novel.json"),
                            ("cache.json", "novel.json"), weight=4, ends=1),
    "language encode": Entry("language.__main__", "main", ("encode", "digits", "--file", "cache.json",
                             "--backbone-path", "clip.safetensors", "--cpu"), ("cache.json",), weight=2),
    # the rest
    "robustness": Entry("robustness.__main__", "run", tuple(train_arguments("out", "CoOp", TEST_FLAGS,
                        {"ATTACK.MODE": "W", "ATTACK.STEPS": 1})), (f"{MODEL}/model.pth.tar-1",), True, 3),
    "robustness, words": Entry("robustness.__main__", "run", ("CoOp", "digits", "1", "4", "2", "W"), weight=2, ends=2),
    "robustness compare": Entry("robustness.__main__", "run", ("compare", RUN, TEST), weight=1, ends=2),
    "runs": Entry("runs.__main__", "main", ("few_shot", "CoOp", "digits", "1", "OPTIM.MAX_EPOCH", "1"), weight=3),
    "runs base2new_test": Entry("runs.__main__", "main", ("base2new_test", "CoOp", "digits", "1"), weight=2, ends=2),
    "trainers list": Entry("trainers.__main__", "main", ("list",), weight=1),
    "trainers export": Entry("trainers.__main__", "main", ("export", "CoOp", "--to", "checkout"), weight=1),
}  # fmt: skip
