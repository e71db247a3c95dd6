"""ATPrompt's config keys, and its published words, lengths and epochs for each dataset."""

from dassl.config.domains import OPTIONAL, whole

from ..shared.domains import declare

N = "TRAINER.ATPROMPT."
CONFIG_DEFAULTS = {
    N + "USE_ATPROMPT": True,  # False: the host, from a random context
    N + "N_ATT1": 4,  # tokens before each word
    N + "N_ATT2": 4,
    N + "N_ATT3": 4,
    N + "ATT_NUM": 2,
    N + "ATT1_TEXT": "color",
    N + "ATT2_TEXT": "shape",
    N + "ATT3_TEXT": "",
    N + "ONE_TOKEN": False,  # True: one token of each word is used, as in the published code, even if it has more
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        **{f"N_ATT{i}": whole(1) for i in (1, 2, 3)},
        "ATT_NUM": whole(0, 3),
        **{f"ATT{i}_TEXT": OPTIONAL for i in (1, 2, 3)},
    },
)
SHAPE = tuple(CONFIG_DEFAULTS)  # keys that determine the learner's shape

WORDS = {
    "ImageNet": "color, shape",
    "Caltech101": "shape, size",
    "OxfordPets": "playfulness, energy",
    "StanfordCars": "luxury",
    "OxfordFlowers": "color, habitat, growth",
    "Food101": "flavor, preparation",
    "FGVCAircraft": "design, range",
    "SUN397": "function",
    "DescribableTextures": "pattern, color, design",
    "EuroSAT": "habitat",
    "UCF101": "precision",
}
# {host: {dataset: (n, epochs)}}; "": the other datasets of the paper
SETTINGS = {
    "CoOp": {"": (2, 100), "ImageNet": (2, 10), "DescribableTextures": (4, 100)},
    "CoCoOp": {"": (2, 10), "StanfordCars": (6, 10), "OxfordFlowers": (6, 10), "EuroSAT": (6, 10), "UCF101": (4, 10)},
    "MaPLe": {"": (4, 5), "Caltech101": (4, 10), "OxfordPets": (4, 10), "OxfordFlowers": (4, 10), "EuroSAT": (4, 10),
              "FGVCAircraft": (2, 5), "UCF101": (2, 5)},
}  # fmt: skip
CROSS_DATASET = {"CoOp": (4, 10), "CoCoOp": (4, 5), "MaPLe": (4, 2)}  # of training on ImageNet for other datasets


def settings(host: str, node: str, dataset: str, task: str) -> dict[str, object]:
    """{dotted key: value} of a host, whose config node is `node`, for a dataset of the paper."""
    if dataset not in WORDS or (task == "CD" and dataset != "ImageNet"):
        return {}
    own = SETTINGS[host]
    n, epochs = CROSS_DATASET[host] if task == "CD" else own.get(dataset, own[""])
    words = WORDS[dataset].split(", ")
    found: dict[str, object] = {f"{node}.N_CTX": n, "OPTIM.MAX_EPOCH": epochs, N + "ATT_NUM": len(words)}
    found |= {f"{N}ATT{i}_TEXT": word for i, word in enumerate([*words, "", ""][:3], start=1)}
    return found | {f"{N}N_ATT{i}": n for i in (1, 2, 3)}
