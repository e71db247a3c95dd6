"""New places of modules that lay directly in `datasets/` before version 0.1: {old: new}, below `datasets`."""

_READING = "catalog fewshot images listing lists mat paths splits"
MOVED = {name: f"reading.{name}" for name in _READING.split()} | {
    "published": "reading.split_hashes",
    "noise_config": "noise.config",
    "noise_features": "noise.features",
    "noise_manifest": "noise.manifest",
    "noise_models": "noise.models",
    "real_noise": "noise.real_noise",
    "adversarial_make": "attacked.make",
    "adversarial_manifest": "attacked.manifest",
    "adversarial_pictures": "attacked.pictures",
    "adversarial_store": "attacked.store",
}
