"""Every name that checkouts of the field import from Dassl, from where upstream has it; what is left out says so."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dassl.engine
from dassl import left_out

ROOT = Path(__file__).resolve().parents[2]
# module -> names. test_contract.py has their signatures; here is where else they are found, and whose class they are.
SURFACE = {
    "dassl": "__version__",
    "dassl.config": "get_cfg_default clean_cfg cfg_default",
    "dassl.utils": "setup_logger set_random_seed collect_env_info mkdir_if_missing check_isfile read_json write_json "
    "listdir_nohidden load_checkpoint load_pretrained_weights save_checkpoint resume_from_checkpoint count_num_param "
    "tolist_if_not AverageMeter MetricMeter Registry check_availability Logger read_image download_url "
    "get_most_similar_str_to_a_from_b open_all_layers open_specified_layers init_network_weights",
    "dassl.utils.tools": "mkdir_if_missing check_isfile read_json write_json set_random_seed download_url read_image "
    "collect_env_info listdir_nohidden get_most_similar_str_to_a_from_b check_availability tolist_if_not",
    "dassl.utils.torchtools": "save_checkpoint load_checkpoint resume_from_checkpoint open_all_layers "
    "open_specified_layers count_num_param load_pretrained_weights init_network_weights",
    "dassl.utils.logger": "Logger setup_logger",
    "dassl.utils.meters": "AverageMeter MetricMeter",
    "dassl.utils.registry": "Registry",
    "dassl.data": "DataManager DatasetWrapper",
    "dassl.data.data_manager": "DatasetWrapper DataManager build_data_loader build_dataset build_sampler "
    "build_transform INTERPOLATION_MODES read_image",
    "dassl.data.datasets": "DATASET_REGISTRY Datum DatasetBase build_dataset",
    "dassl.data.datasets.base_dataset": "Datum DatasetBase",
    "dassl.data.datasets.build": "DATASET_REGISTRY build_dataset",
    "dassl.data.samplers": "build_sampler RandomDomainSampler SeqDomainSampler RandomClassSampler",
    "dassl.data.transforms": "build_transform INTERPOLATION_MODES ImageNetPolicy CIFAR10Policy SVHNPolicy RandAugment",
    "dassl.data.transforms.transforms": "build_transform INTERPOLATION_MODES Cutout GaussianNoise Random2DTranslation "
    "InstanceNormalization",
    "dassl.data.transforms.autoaugment": "ImageNetPolicy CIFAR10Policy SVHNPolicy",
    "dassl.data.transforms.randaugment": "RandAugment",
    "dassl.engine": "TRAINER_REGISTRY build_trainer TrainerX TrainerXU SimpleTrainer TrainerBase SimpleNet",
    "dassl.engine.build": "TRAINER_REGISTRY build_trainer",
    "dassl.engine.trainer": "TrainerX TrainerXU SimpleTrainer TrainerBase SimpleNet AverageMeter MetricMeter "
    "SummaryWriter DataManager build_optimizer build_lr_scheduler build_evaluator build_head build_backbone "
    "tolist_if_not count_num_param load_checkpoint save_checkpoint mkdir_if_missing resume_from_checkpoint "
    "load_pretrained_weights tqdm",
    "dassl.optim": "build_optimizer build_lr_scheduler",
    "dassl.optim.optimizer": "build_optimizer AVAI_OPTIMS",
    "dassl.optim.lr_scheduler": "build_lr_scheduler ConstantWarmupScheduler LinearWarmupScheduler AVAI_SCHEDS",
    "dassl.optim.radam": "RAdam",
    "dassl.evaluation": "EVALUATOR_REGISTRY build_evaluator EvaluatorBase Classification",
    "dassl.evaluation.build": "EVALUATOR_REGISTRY build_evaluator",
    "dassl.evaluation.evaluator": "EvaluatorBase Classification EVALUATOR_REGISTRY",
    "dassl.metrics": "compute_accuracy compute_distance_matrix cosine_distance euclidean_squared_distance",
    "dassl.metrics.accuracy": "compute_accuracy",
    "dassl.metrics.distance": "compute_distance_matrix cosine_distance euclidean_squared_distance",
    "dassl.modeling": "build_backbone build_head build_network BACKBONE_REGISTRY HEAD_REGISTRY NETWORK_REGISTRY",
    "dassl.modeling.backbone": "Backbone build_backbone BACKBONE_REGISTRY resnet18 resnet50 resnet101",
    "dassl.modeling.backbone.build": "build_backbone BACKBONE_REGISTRY",
    "dassl.modeling.backbone.backbone": "Backbone",
    "dassl.modeling.backbone.resnet": "resnet18 resnet50 resnet101",
    "dassl.modeling.head": "build_head HEAD_REGISTRY mlp",
    "dassl.modeling.head.build": "build_head HEAD_REGISTRY",
    "dassl.modeling.head.mlp": "mlp",
    "dassl.modeling.network": "build_network NETWORK_REGISTRY",
    "dassl.modeling.network.build": "build_network NETWORK_REGISTRY",
    "dassl.modeling.ops": "create_onehot sharpen_prob",
    "dassl.modeling.ops.utils": "create_onehot sharpen_prob reverse_index sigmoid_rampup linear_rampup "
    "ema_model_update",
}  # fmt: skip
PAIRS = [(module, name) for module, names in SURFACE.items() for name in names.split()]
# Two modules of one name's are two things: a module called as what is in it.
OTHER = {"__version__", "tqdm"}


@pytest.mark.parametrize(("module", "name"), PAIRS, ids=[f"{module}.{name}" for module, name in PAIRS])
def test_a_name_is_where_upstream_has_it(module, name):
    found: dict = {}
    exec(f"from {module} import {name}", found)
    homes = {id(getattr(importlib.import_module(other), name)) for other, its in PAIRS if its == name}
    assert name in OTHER or homes == {id(found[name])}


@pytest.mark.parametrize("module", SURFACE)
def test_a_star_brings_the_names(module):
    found: dict = {}
    exec(f"from {module} import *", found)
    assert {name for name in SURFACE[module].split() if not name.startswith("_")} <= set(found)


def test_a_star_hides_nothing_that_was_there():
    """Names of ours beyond upstream's would replace a file's own (`from dassl.utils import *` after `import time`)."""
    found: dict = {}
    exec("from dassl.engine import *", found)
    assert set(found) - {"__builtins__"} == set(SURFACE["dassl.engine"].split())


@pytest.mark.parametrize("module", [f"dassl.{name}" for name in left_out.MODULES])
def test_what_is_left_out_says_so_in_a_sentence(module):
    for asked in (module, f"{module}.some_file"):
        with pytest.raises(ImportError) as said:
            importlib.import_module(asked)
        assert f"{module} is not here: this engine leaves out " in str(said.value) and "\n" not in str(said.value)
    package = importlib.import_module(module.rpartition(".")[0])
    for name in left_out.FOUND_IN[module] if module != "dassl.modeling.network.ddaig_fcn" else ():
        with pytest.raises(ImportError, match=f"{name} of {module} is not here"):
            exec(f"from {package.__name__} import {name}")
    with pytest.raises(ImportError, match="cannot import name 'no_such_thing'"):
        exec("from dassl.engine import no_such_thing")


def test_other_kinds_of_an_operation_say_so():
    for module in ("dassl.data.transforms", "dassl.data.transforms.randaugment"):
        with pytest.raises(ImportError, match="RandAugment2 of dassl.data.transforms.randaugment is not here"):
            exec(f"from {module} import RandAugment2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> list[str]:
    """What a process says that has the engine alone on its PYTHONPATH: one process for all."""
    code = (
        "import sys, dassl.config; assert 'torch' not in sys.modules\n"
        "import dassl.engine, dassl.engine.trainer\n"
        "print([m for m in ('sklearn', 'scipy', 'tensorboard', 'gdown', 'pandas', 'wilds') if m in sys.modules])\n"
        f"for module, name in {PAIRS!r}:\n"
        "    exec(f'from {module} import {name}')\n"
        "for module in sorted(m for m in sys.modules if m.startswith('dassl.')):\n"
        "    exec(f'from {module} import *')\n"
        "try:\n    import dassl.engine.ssl\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path_factory.mktemp("alone"),
        env={"PYTHONPATH": str(ROOT / "engine_only"), "PATH": "", "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_engine_alone_has_them_too(alone):
    assert alone[1].startswith("dassl.engine.ssl is not here")


def test_imports_are_lazy(alone):
    """The configuration needs no torch; the engine none of the heavy or optional packages."""
    assert alone[0] == "[]"


def test_an_unknown_name_is_pythons_own_error():
    with pytest.raises(AttributeError, match=r"dassl\.utils.*no_such_thing"):
        _ = importlib.import_module("dassl.utils").no_such_thing
    assert not hasattr(dassl.engine.trainer, "no_such_thing")
