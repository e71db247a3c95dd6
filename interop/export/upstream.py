"""The public names of upstream Dassl 0.6.3. Exported methods import these from it; others are exported with them."""

from __future__ import annotations

_NAMES = {
    "dassl": "__version__",
    "dassl.config": "get_cfg_default clean_cfg",
    "dassl.utils": "setup_logger set_random_seed collect_env_info mkdir_if_missing check_isfile read_json write_json "
    "listdir_nohidden load_checkpoint load_pretrained_weights save_checkpoint resume_from_checkpoint count_num_param "
    "tolist_if_not AverageMeter MetricMeter Registry check_availability Logger read_image download_url "
    "get_most_similar_str_to_a_from_b open_all_layers open_specified_layers init_network_weights",
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
UPSTREAM = {module: frozenset(names.split()) for module, names in _NAMES.items()}

# Upstream has these, but this project's versions are exported in their place: under current PyTorch upstream's warm-up
# schedule raises a TypeError, and torch.load refuses its checkpoints with pickled objects; its Adam has no ADAM_EPS.
BROUGHT = frozenset(("build_optimizer", "build_lr_scheduler", "load_checkpoint", "load_pretrained_weights"))

# Modules from which exported methods import these names in place of `dassl`.
STAND_INS = {
    "TrainerX": "interop.export.exported.trainer",
    "TRAINER_REGISTRY": "interop.export.exported.registry",
}


def stays(module: str, name: str) -> bool:
    """Whether an exported method imports `name` from upstream's `module`."""
    return name in UPSTREAM.get(module, ()) and name not in BROUGHT and name not in STAND_INS
