"""The prompts of a trained run as the start of test-time tuning: those of both towers, or of the image tower alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from clipkit import InputError
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import load_checkpoint
from dassl.utils.torch_file import entry
from datasets.reading.catalog import quiet

from .start_context import checkpoint_of

if TYPE_CHECKING:
    from ..shared.method import Method

METHODS = ("AdvIVLP", "AdvMaPLe", "AdvVPT", "IVLP", "MaPLe", "VPT", "MaPLeAT", "FAP")
FOLDERS = ("VLPromptLearner", "MultiModalPromptLearner", "prompt_learner")  # of their checkpoints


class TrainedPrompts:
    """The run's method, built on the backbone and the classes of a test, with the run's weights.

    learner: all that was learned, which is what tuning changes. run: what the checkpoint says of its training.
    """

    def __init__(self, host: Any, file: Path, run: dict) -> None:
        self.host, self.file, self.run = host, file, run
        self.learner: nn.Module = host.model

    def text(self) -> Tensor:
        """[C, d] normalised text features under the prompts as they are."""
        return self.host.encode_text()

    def tokens(self) -> dict[int, Tensor]:
        """{block: [n, width]}: the tokens of the image tower's blocks 1 to J."""
        learner: Any = self.learner
        found = (
            learner.image_encoder() if hasattr(learner, "image_encoder") else learner.prompt_learner.visual_prompts()
        )
        return dict(found or {})

    def size(self) -> tuple[int, int]:
        """(n, J): tokens in the image tower, and blocks that have them."""
        tokens = self.tokens()
        return len(tokens[1]), len(tokens)


def prompts_from(key: str, given: str, trainer: Method) -> TrainedPrompts:
    """The prompts of the checkpoint that the config key names; `trainer` is the test's method.

    Raises InputError where there is none, for another method's or backbone's, for one without tokens in the image
    tower, and for weights that do not fit or are not finite.
    """
    file = checkpoint_of(key, given, *FOLDERS)
    run = entry(load_checkpoint(str(file)), "run")
    name = run.get("TRAINER.NAME", "")
    if name not in METHODS:
        said = f"is of {name}" if name else "does not say its method"
        raise InputError(f"{file} ({key}) {said}; give a run of {', '.join(METHODS[:-1])} or {METHODS[-1]}.")
    host = _host(trainer, name, entry(run, "architecture"))
    host.take_weights(str(file))
    host.set_model_mode("eval")
    found = TrainedPrompts(host, file, run)
    if not found.tokens():
        raise InputError(f"{file} ({key}) has no tokens in the image tower; give a run with N_CTX_VISION above 0.")
    return found


def _host(trainer: Any, name: str, architecture: dict) -> Any:
    """The method `name` on the data and the backbone of `trainer`, not yet with weights."""
    kind: Any = TRAINER_REGISTRY.get(name)
    cfg = trainer.cfg.clone()
    cfg.defrost()
    known = {key: value for key, value in architecture.items() if key in kind.architecture}
    pairs = known | {"TRAINER.NAME": name, f"{kind.node}.PREC": trainer.precision, "MODEL.INIT_WEIGHTS": ""}
    cfg.merge_from_list([word for pair in pairs.items() for word in pair])
    cfg.freeze()

    def share(self: Any) -> None:
        self.dm, self.train_loader_x, self.train_loader_u = trainer.dm, trainer.train_loader_x, trainer.train_loader_u
        self.val_loader, self.test_loader, self.lab2cname = trainer.val_loader, trainer.test_loader, trainer.lab2cname
        self.num_classes, self.num_source_domains = trainer.num_classes, trainer.num_source_domains

    with quiet():  # it is no run of its own
        return type(name, (kind,), {"build_data_loader": share})(cfg)  # the name is shown in messages
