"""The names of methods' configs for each protocol, dataset and number of shots, as in their authors' scripts.

If a method's authors published no few-shot or cross-dataset script, its base-to-new config is used, with all classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from interop.plugins.names import plain


class Methods(tuple):
    """Names of methods; a checkout's own version (`ZeroshotCLIP@CoOp`) counts as one of them."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(plain(name) if isinstance(name, str) else name)


TEST_TIME = (
    "TPT",
    "RTPT",
    "CTPT",
    "OTPT",
    "TPS",
    "SSTPT",
    "TAPT",
    "ZERO",
    "MTA",
    "TTC",
)  # methods that adapt to each test image, and are not trained
FROM_A_RUN = ("TAPT",)  # of these, the ones that tune what a trained run learned, which keys of their own name
ONLINE = ("TDA", "BoostAdapter")  # test-time methods that learn from the stream of test images
UNTRAINED = Methods(("ZeroshotCLIP", "ZeroshotCLIP2", *TEST_TIME, *ONLINE))
HAND_WRITTEN = Methods(
    ("ZeroshotCLIP", "ZeroshotCLIP2")
)  # methods whose prompt is a template, which a test may exchange
KNOWN_CLASSES_ONLY = Methods(("LPpp",))  # methods that can only predict their training classes
# Methods that are tested with a learned context and nothing else, which tuning at test time can start from.
CONTEXT_ALONE = (
    "CoOp",
    "KgCoOp",
    "ProGrad",
    "PTNL",
    "DPSEP",
    "NLPrompt",
    "JoAPR",
    "CoOpSAR",
    "KgCoOpSAR",
    "CoOpAT",
    "APT",
)
OF_NEW_CLASSES = ("base2new_test", "open_world_test", "xd_test")  # tests on new classes, which these methods lack
CONFIG_FOLDER = {"ZeroshotCLIP2": "ZeroshotCLIP"}  # {method: the method whose configs it uses}
EMBEDDED = ("digits", "shapes", "shapes_sketch", "shapes_clutter", "shapes_inverted", "textures", "letters", "objects")


@dataclass(frozen=True)
class Names:
    """The names of a method's configs; an empty one means that of `base2new`."""

    base2new: str = "vit_b16"
    imagenet: str = ""  # base-to-new on ImageNet
    cross_dataset: str = ""  # training on a source dataset, for other datasets and for shifted variants
    few_shot: dict[int, str] = field(default_factory=dict)  # {largest number of shots: name}; the last one for more
    few_shot_imagenet: str = ""  # empty: the one for other datasets


_BY_SHOTS = {1: "vit_b16_ep50", 4: "vit_b16_ep100", 16: "vit_b16"}

PUBLISHED = {
    "ZeroshotCLIP": Names(),
    "CoOp": Names("vit_b16_ctxv1", "vit_b16_ep50_ctxv1", "vit_b16_ep50_ctxv1", _BY_SHOTS, "vit_b16_ep50"),
    "CoCoOp": Names("vit_b16_c4_ep10_batch1_ctxv1"),
    "KgCoOp": Names("vit_b16_ep100_ctxv1"),
    "ProGrad": Names("vit_b16_ep100", "vit_b16_ep50", "vit_b16_ep50", _BY_SHOTS, "vit_b16_ep50"),
    "VPT": Names("vit_b16_c2_ep5_batch4_4"),
    "IVLP": Names("vit_b16_c2_ep5_batch4_2+2ctx"),
    "MaPLe": Names("vit_b16_c2_ep5_batch4_2ctx", cross_dataset="vit_b16_c2_ep5_batch4_2ctx_cross_datasets"),
    "PromptSRC": Names(
        "vit_b16_c2_ep20_batch4_4+4ctx",
        cross_dataset="vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets",
        few_shot={16: "vit_b16_c2_ep50_batch4_4+4ctx_few_shot"},
    ),
    "TCP": Names("vit_b16_ep100_ctxv1"),
    "CoPrompt": Names("coprompt"),
    "MMRL": Names(
        "vit_b16", "vit_b16_imagenet", "vit_b16_cross_datasets", {16: "vit_b16_few_shot"}, "vit_b16_imagenet"
    ),
    "ANPrompt": Names("vit_b16", "vit_b16_imagenet", "vit_b16_cross_datasets", {16: "vit_b16_few_shot"}),
    "TextRefiner": Names(),
    "TAC": Names("basetonovel", cross_dataset="crossdatasets"),
    "MMRLpp": Names(
        "vit_b16", "vit_b16_imagenet", "vit_b16_cross_datasets", {16: "vit_b16_few_shot"}, "vit_b16_imagenet"
    ),
    "ProMetaR": Names("vit_b16_c2_ep10_batch4_4+4ctx"),
    "MMA": Names("vit_b16_ep5", "vit_b16_ep5_imnet", "vit_b16_ep5_imnet", few_shot_imagenet="vit_b16_ep5_imnet"),
}


# SAR on a host uses the host's configs; on CoOp it trains for 100 epochs, as its authors do.
SAR_HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt", "PromptSRC", "ANPrompt")
METHODS = tuple(PUBLISHED)
PUBLISHED |= {f"{host}SAR": PUBLISHED[host] for host in SAR_HOSTS}
PUBLISHED["CoOpSAR"] = replace(PUBLISHED["CoOp"], base2new="vit_b16_ep100_ctxv1")
CONFIG_FOLDER |= {f"{host}SAR": host for host in SAR_HOSTS}

# DePT and ATPrompt on a host have configs of their own; `all` leaves them out, as it does SAR.
DEPT_HOSTS = ("CoOp", "KgCoOp", "MaPLe", "PromptSRC")
ATPROMPT_HOSTS = ("CoOp", "CoCoOp", "MaPLe")
PUBLISHED |= {f"{host}DePT": Names("vit_b16_ep10_batch4") for host in DEPT_HOSTS}
PUBLISHED["PromptSRCDePT"] = Names("vit_b16_ep20_batch4")
PUBLISHED |= {f"{host}ATPrompt": Names() for host in ATPROMPT_HOSTS}
MIX_INS = {"SAR": SAR_HOSTS, "DePT": DEPT_HOSTS, "ATPrompt": ATPROMPT_HOSTS}

# Adapters and low-rank weights; `all` of the generalisation tables leaves them out.
PUBLISHED |= {"CLIPLoRA": Names(), "TwoSFS": Names(), "TipAdapter": Names(), "TipAdapterF": Names(), "LPpp": Names()}

# Methods against label noise; `all` of the generalisation tables leaves them out.
PUBLISHED |= {"PTNL": Names("rn50"), "DPSEP": Names("vit_b32")}
PUBLISHED |= {"VisPrompt": Names("rn50")}
PUBLISHED |= {"DeFT": Names()}
PUBLISHED |= {"NLPrompt": Names("rn50"), "JoAPR": Names("rn50")}

# Training against attacks, on hosts by the hosts' configs; `all` leaves it out.
ATTACKED_HOSTS = ("CoOp", "MaPLe", "ANPrompt")
PUBLISHED |= {f"{host}AT": PUBLISHED[host] for host in ATTACKED_HOSTS}
CONFIG_FOLDER |= {f"{host}AT": host for host in ATTACKED_HOSTS}
_APT_BY_SHOTS = {1: "vit_b32_ep50", 4: "vit_b32_ep100", 16: "vit_b32"}
_FAP = Names("vit_b32_c2_ep10_batch4_2ctx", cross_dataset="vit_b32_c2_ep5_batch4_2ctx_cross_datasets")
PUBLISHED |= {
    "APT": Names("vit_b32", "vit_b32_ep50", "vit_b32_ep50", _APT_BY_SHOTS, "vit_b32_ep50"),
    "AdvPT": Names(), "FAP": _FAP, "AdvMaPLe": _FAP,
    "AdvIVLP": Names("vit_b32_c2_ep10_batch4_2+2ctx"), "AdvVPT": Names("vit_b32_c2_ep10_batch4_2"),
}  # fmt: skip

# Methods that adapt to each test image; `all` leaves them out too.
PUBLISHED |= {name: Names() for name in (*TEST_TIME, *ONLINE)}
PUBLISHED["TAPT"] = Names("vit_b32")  # the backbone of AdvIVLP, AdvMaPLe and AdvVPT


def method_name(name: str) -> str:
    """A method's registered name from a name in upper or lower case ("coopsar"); unknown names are not changed."""
    return next((known for known in PUBLISHED if known.casefold() == name.casefold()), name)


def config_name(trainer: str, dataset: str, task: str = "B2N", shots: int = 16) -> str:
    """The name of the config that a method uses by default.

    dataset: of the training; task: B2N (base-to-new), CD (for other datasets) or FS (few-shot).
    """
    dataset = plain(dataset)
    if dataset in EMBEDDED:
        return "embedded"
    names = PUBLISHED.get(plain(trainer), Names())
    if task == "CD":
        return names.cross_dataset or names.base2new
    if task == "FS":
        if dataset == "imagenet" and names.few_shot_imagenet:
            return names.few_shot_imagenet
        fitting = [name for most, name in names.few_shot.items() if shots <= most]
        return (fitting or [*names.few_shot.values()][-1:] or [names.base2new])[0]
    return (names.imagenet if dataset == "imagenet" else "") or names.base2new
