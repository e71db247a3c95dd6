"""The config keys TRAINER.TTA.* of methods that adapt to each test image: defaults, domains, compatibility."""

from __future__ import annotations

from yacs.config import CfgNode

from dassl.config.domains import NOT_NEGATIVE, OPTIONAL, POSITIVE, choice, number, whole
from datasets.table_prompts import KINDS

from ..shared.domains import declare

N = "TRAINER.TTA."
DEFAULTS = {
    N + "N_VIEWS": 64,  # of an image, the plain one included
    N + "SELECTION_P": 0.1,  # share of the views that the prompt is tuned on: those of lowest entropy
    N + "STEPS": 1,  # of AdamW, for each image anew
    N + "LR": 5e-3,
    N + "WD": 0.01,
    N + "CTX_INIT": "a photo of a",
    N + "PROMPTS": "own",  # own: CTX_INIT, or the method's templates | ttc, clip_benchmark: those of these tables
    N + "CTX_FROM": "",  # a checkpoint of CoOp, or its run's folder: the context to start from
    N + "LOSS": "auto",  # auto: the method's own | pointwise | marginal
    N + "ENSEMBLE": "auto",  # auto: the method's own | none: view 0 | reliability | mean | selected_mean
    N + "ENS_TOPK": 20,  # neighbours of a view
    N + "ENS_TEMP": 0.01,
    N + "ENS_SELF_MASK": "diagonal",  # diagonal | ge1: every similarity of 1 or more, as the published code has it
    N + "PREC": "fp32",  # fp32 | amp | bf16
    N + "AUGMIX": "auto",  # auto: where the method's own scripts mix views, see `TestTimeTrainer.mixes` | on | off
    N + "AUG_BACKEND": "pil",  # pil: in worker processes | tensor: on the device
    N + "VIEW_SOURCE": "processed",  # processed: crops of the picture at the model's size | original: of the file
    N + "TEXT_LEN": 0,  # tokens of a prompt; 0: as long as the longest one
    N + "SAMPLES_PER_STEP": 8,  # images that are processed together
    N + "GRAD_PATH": "batched",  # batched | vjp | jacobian | loop: the same gradient
    N + "COMPAT": "none",  # none | tpt | rtpt | ttc: the published code's choices, see `compat_keys`
}
# Keys that methods without prompt tuning do not read, and keys that methods without views do not read.
TUNING = ("SELECTION_P", "STEPS", "LR", "WD", "LOSS", "ENSEMBLE", "ENS_TOPK", "ENS_TEMP", "ENS_SELF_MASK", "GRAD_PATH")
VIEWS = ("N_VIEWS", "AUGMIX", "AUG_BACKEND")
DOMAINS = declare(
    DEFAULTS,
    {
        "N_VIEWS": whole(1),
        "SELECTION_P": number(above=0, most=1),
        "STEPS": whole(0),
        "LR": NOT_NEGATIVE,
        "WD": NOT_NEGATIVE,
        "PROMPTS": choice("own", *KINDS),
        "CTX_FROM": OPTIONAL,
        "LOSS": choice("auto", "pointwise", "marginal"),
        "ENSEMBLE": choice("auto", "none", "reliability", "mean", "selected_mean"),
        "ENS_TOPK": whole(1),
        "ENS_TEMP": POSITIVE,
        "ENS_SELF_MASK": choice("diagonal", "ge1"),
        "PREC": choice("fp32", "amp", "bf16"),
        "AUGMIX": choice("auto", "on", "off", "True", "False"),  # scripts say True and False
        "AUG_BACKEND": choice("pil", "tensor"),
        "VIEW_SOURCE": choice("processed", "original"),
        "TEXT_LEN": whole(0),
        "SAMPLES_PER_STEP": whole(1),
        "GRAD_PATH": choice("batched", "vjp", "jacobian", "loop"),
        "COMPAT": choice("none", "tpt", "rtpt", "ttc"),
    },
)


# The settings of COMPAT, method by method: the published code's choices that are not this project's.
COMPAT = {
    "tpt": {"LOSS": "marginal", "ENSEMBLE": "none", "PREC": "amp"},
    "rtpt": {"LOSS": "pointwise", "ENSEMBLE": "reliability", "ENS_SELF_MASK": "ge1", "PREC": "fp32", "TEXT_LEN": 40},
    "ttc": {"CTX_INIT": "This is a photo of a", "PREC": "amp"},
}


def compat_keys(cfg: CfgNode) -> dict:
    """{dotted key: value} of COMPAT; pairs of the command line have priority.

    TPT's and R-TPT's code crops random views from the image file; for attacked images it only has the attacked picture.
    R-TPT masks every similarity of 1 or more and cuts prompts at 40 tokens; its attack keeps the last iterate and
    truncates it to 8 bits, and so do sets that are made for the run (TEST.ADV_SET make). TPT runs under amp. Not
    reproduced: TPT's loss scaler, whose state persists from image to image, and the points in docs/test_time.md.
    """
    name = cfg.TRAINER.TTA.COMPAT
    found = {N + key: value for key, value in COMPAT.get(name, {}).items()}
    attacked = cfg.TEST.get("ADV_SET", "")
    stored = attacked or cfg.TEST.get("CORRUPTION", {}).get("NAME", "")
    if name in ("tpt", "rtpt"):
        found[N + "VIEW_SOURCE"] = "processed" if stored else "original"
    if name == "rtpt" and attacked == "make":
        found |= {"ATTACK.QUANT": "trunc", "ATTACK.KEEP": "last"}
    return found
