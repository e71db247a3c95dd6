"""Helpers of the engine. Names are imported on first use, so that `import dassl` does not import torch."""

from __future__ import annotations

from .lazy import lazy

_MODULES = {
    "errors": ("CheckError", "DivergedError", "InputError", "MissingFileError", "NotAvailableError")
    + ("UnsupportedError", "input_error_sentence"),
    "files": ("atomic_path", "download_url", "listdir_nohidden", "mkdir_if_missing", "read_json", "write_json"),
    "images": ("read_image", "to_rgb"),
    "logger": ("Logger", "attach_logger", "setup_logger"),
    "meters": ("AverageMeter", "MetricMeter"),
    "progress": ("progress",),
    "randomness": ("base_seed", "stream_seed", "seeded", "set_random_seed"),
    "registry": ("Registry", "check_availability", "get_most_similar_str_to_a_from_b"),
    "templates": ("check_template",),
    "tools": ("check_isfile", "collect_env_info", "tolist_if_not"),
    "checkpoint": ("load_checkpoint", "load_model_state", "resume_from_checkpoint", "save_checkpoint"),
    "torchtools": ("count_num_param", "init_network_weights", "load_pretrained_weights", "open_all_layers")
    + ("open_specified_layers",),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)
__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
