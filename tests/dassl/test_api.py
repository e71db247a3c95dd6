"""Every public name has its place, and importing stays cheap."""

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "dassl": "__version__",
    "dassl.config": "get_cfg_default clean_cfg",
    "dassl.utils": "setup_logger set_random_seed collect_env_info mkdir_if_missing check_isfile read_json write_json "
    "listdir_nohidden load_checkpoint load_pretrained_weights save_checkpoint resume_from_checkpoint count_num_param "
    "tolist_if_not AverageMeter MetricMeter Registry check_availability Logger read_image download_url "
    "get_most_similar_str_to_a_from_b open_all_layers open_specified_layers init_network_weights "
    "InputError input_error_sentence attach_logger derive_seed",
    "dassl.data": "DataManager DatasetWrapper",
    "dassl.data.data_manager": "DatasetWrapper DataManager build_data_loader",
    "dassl.data.datasets": "DATASET_REGISTRY Datum DatasetBase build_dataset",
    "dassl.data.datasets.base_dataset": "Datum DatasetBase",
    "dassl.data.datasets.build": "DATASET_REGISTRY build_dataset",
    "dassl.data.samplers": "build_sampler RandomDomainSampler SeqDomainSampler RandomClassSampler",
    "dassl.data.transforms": "build_transform INTERPOLATION_MODES",
    "dassl.data.transforms.transforms": "build_transform INTERPOLATION_MODES",
    "dassl.engine": "TRAINER_REGISTRY build_trainer TrainerX TrainerXU SimpleTrainer TrainerBase SimpleNet",
    "dassl.engine.trainer": "TrainerX TrainerXU SimpleTrainer TrainerBase SimpleNet",
    "dassl.engine.build": "TRAINER_REGISTRY build_trainer",
    "dassl.optim": "build_optimizer build_lr_scheduler",
    "dassl.optim.optimizer": "build_optimizer",
    "dassl.optim.lr_scheduler": "build_lr_scheduler ConstantWarmupScheduler LinearWarmupScheduler",
    "dassl.evaluation": "EVALUATOR_REGISTRY build_evaluator EvaluatorBase Classification",
    "dassl.evaluation.build": "EVALUATOR_REGISTRY build_evaluator",
    "dassl.evaluation.evaluator": "EvaluatorBase Classification",
    "dassl.metrics": "compute_accuracy compute_distance_matrix cosine_distance euclidean_squared_distance",
    "dassl.modeling": "build_backbone build_head build_network",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module):
    loaded = importlib.import_module(module)
    missing = [name for name in PUBLIC[module].split() if not hasattr(loaded, name)]
    assert not missing


def test_utils_refuses_unknown_name():
    import dassl.utils

    with pytest.raises(AttributeError):
        _ = dassl.utils.no_such_thing


def test_imports_are_lazy():
    """The configuration needs no torch; the engine none of the heavy or optional packages."""
    code = (
        "import sys, dassl.config; assert 'torch' not in sys.modules\n"
        "import dassl.engine\n"
        "print([m for m in ('sklearn', 'scipy', 'tensorboard', 'gdown', 'pandas', 'wilds') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
