"""New places of modules that lay directly in `trainers/` before version 0.1: {old: new}, below `trainers`."""

_ROOMS = {
    "shared": (
        "architecture backbone checkpoints checks class_evidence coinciding discovery domains listed_batches "
        "other_accuracies precision situation top5 training_list"
    ),
    "label_noise": "derangement label_filter memorisation prompt_ot robust_losses two_gaussians",
    "tta": ("adaptive_views augmix augmix_pil augmix_tensor per_image_adamw start_context view_ensemble views"),
    "parts": (
        "aggregation anprompt_config chunked_text inserted_tokens joapr_settings released_split similarity_alignment "
        "visual_guidance visual_tokens weak_noise"
    ),
}
MOVED = {name: f"{room}.{name}" for room, names in _ROOMS.items() for name in names.split()} | {
    "clean_noisy": "parts.deciding_trainer",
    "test_features": "shared.feature_loader",
    "test_time": "tta.trainer",
    "test_time_config": "tta.config",
    "test_time_outputs": "tta.outputs",
}
