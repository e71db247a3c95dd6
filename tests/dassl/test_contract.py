"""Names, signatures, attributes and keys that files written for upstream Dassl rely on, checked against one table.

Upstream is version 0.6.3 of Dassl.pytorch. What is ours beyond it may follow as optional parameters, not come between.
"""

from __future__ import annotations

import importlib
import inspect
from collections import OrderedDict

import pytest
import torch
from toy import ToyTrainer
from yacs.config import CfgNode

import dassl
from dassl.config import clean_cfg, get_cfg_default
from dassl.engine import build_trainer

# module -> {name: signature}. "" is a name without a signature to keep; "_" stands for a parameter of any name.
# "Class.method" includes self.
CONTRACT = {
    "dassl.config": {"get_cfg_default": "()", "clean_cfg": "(cfg, trainer)"},
    "dassl.utils": {
        "setup_logger": "(output=None)",
        "set_random_seed": "(seed)",
        "collect_env_info": "()",
        "mkdir_if_missing": "(dirname)",
        "check_isfile": "(fpath)",
        "read_json": "(fpath)",
        "write_json": "(obj, fpath)",
        "listdir_nohidden": "(path, sort=False)",
        "load_checkpoint": "(fpath)",
        "load_pretrained_weights": "(model, weight_path)",
        "save_checkpoint": "(state, save_dir, is_best=False, remove_module_from_keys=True, model_name='')",
        "resume_from_checkpoint": "(fdir, model, optimizer=None, scheduler=None)",
        "count_num_param": "(model=None, params=None)",
        "tolist_if_not": "(x)",
        "check_availability": "(requested, available)",
        "get_most_similar_str_to_a_from_b": "",
        "AverageMeter": "(ema=False)",
        "AverageMeter.update": "(self, val, n=1)",
        "MetricMeter": "(delimiter=' ')",
        "MetricMeter.update": "(self, _)",
        "Registry": "(name)",
        "Registry.register": "(self, obj=None, force=False)",
        "Registry.get": "(self, name)",
        "Registry.registered_names": "(self)",
        "Logger": "(fpath=None)",
        "read_image": "",
        "download_url": "",
        "open_all_layers": "",
        "open_specified_layers": "",
        "init_network_weights": "",
    },
    "dassl.data": {"DataManager": "", "DatasetWrapper": ""},
    "dassl.data.data_manager": {
        "DataManager": "(cfg, custom_tfm_train=None, custom_tfm_test=None, dataset_wrapper=None)",
        "DatasetWrapper": "(cfg, data_source, transform=None, is_train=False)",
        "build_data_loader": "(cfg, sampler_type='SequentialSampler', data_source=None, batch_size=64, n_domain=0, "
        "n_ins=2, tfm=None, is_train=True, dataset_wrapper=None)",
    },
    "dassl.data.datasets": {"DATASET_REGISTRY": "", "Datum": "", "DatasetBase": "", "build_dataset": "(cfg)"},
    "dassl.data.datasets.base_dataset": {
        "Datum": "(impath='', label=0, domain=0, classname='')",
        "DatasetBase": "(train_x=None, train_u=None, val=None, test=None)",
        "DatasetBase.get_num_classes": "(_)",
        "DatasetBase.get_lab2cname": "(_)",
        "DatasetBase.check_input_domains": "(self, source_domains, target_domains)",
        "DatasetBase.is_input_domain_valid": "(self, input_domains)",
        "DatasetBase.download_data": "(self, url, dst, from_gdrive=True)",
        "DatasetBase.generate_fewshot_dataset": "(self, *data_sources, num_shots=-1, repeat=False)",
        "DatasetBase.split_dataset_by_label": "(self, data_source)",
        "DatasetBase.split_dataset_by_domain": "(self, data_source)",
    },
    "dassl.data.datasets.build": {"DATASET_REGISTRY": "", "build_dataset": "(cfg)"},
    "dassl.data.samplers": {
        "build_sampler": "(sampler_type, cfg=None, data_source=None, batch_size=32, n_domain=0, n_ins=16)",
        "RandomDomainSampler": "",
        "SeqDomainSampler": "",
        "RandomClassSampler": "",
    },
    "dassl.data.transforms": {"build_transform": "(cfg, is_train=True, choices=None)", "INTERPOLATION_MODES": ""},
    "dassl.data.transforms.transforms": {"build_transform": "", "INTERPOLATION_MODES": ""},
    "dassl.engine": {
        "TRAINER_REGISTRY": "",
        "build_trainer": "(cfg)",
        "TrainerX": "(cfg)",
        "TrainerXU": "(cfg)",
        "SimpleTrainer": "(cfg)",
        "TrainerBase": "()",
        "SimpleNet": "(cfg, model_cfg, num_classes, **kwargs)",
    },
    "dassl.engine.build": {"TRAINER_REGISTRY": "", "build_trainer": "(cfg)"},
    "dassl.engine.trainer": {
        "SimpleNet": "",
        "TrainerBase.register_model": "(self, name='model', model=None, optim=None, sched=None)",
        "TrainerBase.get_model_names": "(self, names=None)",
        "TrainerBase.save_model": "(self, epoch, directory, is_best=False, val_result=None, model_name='')",
        "TrainerBase.resume_model_if_exist": "(self, directory)",
        "TrainerBase.load_model": "(self, directory, epoch=None)",
        "TrainerBase.set_model_mode": "(self, mode='train', names=None)",
        "TrainerBase.update_lr": "(self, names=None)",
        "TrainerBase.detect_anomaly": "(self, loss)",
        "TrainerBase.init_writer": "(self, log_dir)",
        "TrainerBase.close_writer": "(self)",
        "TrainerBase.write_scalar": "(self, tag, value, global_step=None)",
        "TrainerBase.train": "(self, start_epoch, max_epoch)",
        "TrainerBase.before_train": "(self)",
        "TrainerBase.after_train": "(self)",
        "TrainerBase.before_epoch": "(self)",
        "TrainerBase.after_epoch": "(self)",
        "TrainerBase.run_epoch": "(self)",
        "TrainerBase.test": "(self)",
        "TrainerBase.parse_batch_train": "(self, batch)",
        "TrainerBase.parse_batch_test": "(self, batch)",
        "TrainerBase.forward_backward": "(self, batch)",
        "TrainerBase.model_inference": "(self, input)",
        "TrainerBase.model_zero_grad": "(self, names=None)",
        "TrainerBase.model_backward": "(self, loss)",
        "TrainerBase.model_update": "(self, names=None)",
        "TrainerBase.model_backward_and_update": "(self, loss, names=None)",
        "TrainerBase.prograd_backward_and_update": "(self, loss_a, loss_b, lambda_=1, names=None)",  # one fork's
        "SimpleTrainer.check_cfg": "(self, cfg)",
        "SimpleTrainer.build_data_loader": "(self)",
        "SimpleTrainer.build_model": "(self)",
        "SimpleTrainer.train": "(self)",
        "SimpleTrainer.test": "(self, split=None)",
        "SimpleTrainer.model_inference": "(self, input)",
        "SimpleTrainer.parse_batch_test": "(self, batch)",
        "SimpleTrainer.get_current_lr": "(self, names=None)",
        "TrainerX.parse_batch_train": "(self, batch)",
        "TrainerX.run_epoch": "(self)",
        "TrainerXU.parse_batch_train": "(self, batch_x, batch_u)",
        "TrainerXU.run_epoch": "(self)",
    },
    "dassl.optim": {
        "build_optimizer": "(model, optim_cfg, param_groups=None)",
        "build_lr_scheduler": "(optimizer, optim_cfg)",
    },
    "dassl.optim.optimizer": {"build_optimizer": ""},
    "dassl.optim.lr_scheduler": {
        "build_lr_scheduler": "",
        "ConstantWarmupScheduler": "",
        "LinearWarmupScheduler": "",
    },
    "dassl.evaluation": {
        "EVALUATOR_REGISTRY": "",
        "build_evaluator": "(cfg, **kwargs)",
        "EvaluatorBase": "(cfg)",
        "EvaluatorBase.reset": "(self)",
        "EvaluatorBase.process": "(self, mo, gt)",
        "EvaluatorBase.evaluate": "(self)",
        "Classification": "(cfg, lab2cname=None, **kwargs)",
    },
    "dassl.evaluation.build": {"EVALUATOR_REGISTRY": "", "build_evaluator": ""},
    "dassl.evaluation.evaluator": {"EvaluatorBase": "", "Classification": ""},
    "dassl.metrics": {
        "compute_accuracy": "(output, target, topk=(1,))",
        "compute_distance_matrix": "",
        "cosine_distance": "",
        "euclidean_squared_distance": "",
    },
    "dassl.modeling": {"build_backbone": "", "build_head": "", "build_network": ""}
    | {f"{kind}_REGISTRY": "" for kind in ("BACKBONE", "HEAD", "NETWORK")},
}
EVERY = [(module, name) for module, names in CONTRACT.items() for name in names]

DEFAULTS = {
    "": "VERSION=1 OUTPUT_DIR='./output' RESUME='' SEED=-1 USE_CUDA=True VERBOSE=True",
    "INPUT": "SIZE=(224,224) INTERPOLATION='bilinear' TRANSFORMS=() NO_TRANSFORM=False PIXEL_MEAN=[0.485,0.456,0.406] "
    "PIXEL_STD=[0.229,0.224,0.225] CROP_PADDING=4 RRCROP_SCALE=(0.08,1.0) CUTOUT_N=1 CUTOUT_LEN=16 GN_MEAN=0.0 "
    "GN_STD=0.15 RANDAUGMENT_N=2 RANDAUGMENT_M=10 COLORJITTER_B=0.4 COLORJITTER_C=0.4 COLORJITTER_S=0.4 "
    "COLORJITTER_H=0.1 RGS_P=0.2 GB_P=0.5 GB_K=21",
    "DATASET": "ROOT='' NAME='' SOURCE_DOMAINS=() TARGET_DOMAINS=() NUM_LABELED=-1 NUM_SHOTS=-1 VAL_PERCENT=0.1 "
    "STL10_FOLD=-1 CIFAR_C_TYPE='' CIFAR_C_LEVEL=1 ALL_AS_UNLABELED=False",
    "DATALOADER": "NUM_WORKERS=4 K_TRANSFORMS=1 RETURN_IMG0=False",
    "DATALOADER.TRAIN_X": "SAMPLER='RandomSampler' BATCH_SIZE=32 N_DOMAIN=0 N_INS=16",
    "DATALOADER.TRAIN_U": "SAME_AS_X=True SAMPLER='RandomSampler' BATCH_SIZE=32 N_DOMAIN=0 N_INS=16",
    "DATALOADER.TEST": "SAMPLER='SequentialSampler' BATCH_SIZE=32",
    "MODEL": "INIT_WEIGHTS=''",
    "MODEL.BACKBONE": "NAME='' PRETRAINED=True",
    "MODEL.HEAD": "NAME='' HIDDEN_LAYERS=() ACTIVATION='relu' BN=True DROPOUT=0.0",
    "OPTIM": "NAME='adam' LR=0.0003 WEIGHT_DECAY=0.0005 MOMENTUM=0.9 SGD_DAMPNING=0 SGD_NESTEROV=False "
    "RMSPROP_ALPHA=0.99 ADAM_BETA1=0.9 ADAM_BETA2=0.999 STAGED_LR=False NEW_LAYERS=() BASE_LR_MULT=0.1 "
    "LR_SCHEDULER='single_step' STEPSIZE=(-1,) GAMMA=0.1 MAX_EPOCH=10 WARMUP_EPOCH=-1 WARMUP_TYPE='linear' "
    "WARMUP_CONS_LR=1e-05 WARMUP_MIN_LR=1e-05 WARMUP_RECOUNT=True",
    "TRAIN": "CHECKPOINT_FREQ=0 PRINT_FREQ=10 COUNT_ITER='train_x'",
    "TEST": "EVALUATOR='Classification' PER_CLASS_RESULT=False COMPUTE_CMAT=False NO_TEST=False SPLIT='test' "
    "FINAL_MODEL='last_step'",
    "TRAINER": "NAME=''",
    "TRAINER.MCD": "N_STEP_F=4",
    "TRAINER.MME": "LMDA=0.1",
    "TRAINER.CDAC": "CLASS_LR_MULTI=10 RAMPUP_COEF=30 RAMPUP_ITRS=1000 TOPK_MATCH=5 P_THRESH=0.95 STRONG_TRANSFORMS=()",
    "TRAINER.SE": "EMA_ALPHA=0.999 CONF_THRE=0.95 RAMPUP=300",
    "TRAINER.M3SDA": "LMDA=0.5 N_STEP_F=4",
    "TRAINER.DAEL": "WEIGHT_U=0.5 CONF_THRE=0.95 STRONG_TRANSFORMS=()",
    "TRAINER.CROSSGRAD": "EPS_F=1.0 EPS_D=1.0 ALPHA_F=0.5 ALPHA_D=0.5",
    "TRAINER.DDAIG": "G_ARCH='' LMDA=0.3 CLAMP=False CLAMP_MIN=-1.0 CLAMP_MAX=1.0 WARMUP=0 ALPHA=0.5",
    "TRAINER.DAELDG": "WEIGHT_U=0.5 CONF_THRE=0.95 STRONG_TRANSFORMS=()",
    "TRAINER.DOMAINMIX": "TYPE='crossdomain' ALPHA=1.0 BETA=1.0",
    "TRAINER.ENTMIN": "LMDA=0.001",
    "TRAINER.MEANTEACHER": "WEIGHT_U=1.0 EMA_ALPHA=0.999 RAMPUP=5",
    "TRAINER.MIXMATCH": "WEIGHT_U=100.0 TEMP=2.0 MIXUP_BETA=0.75 RAMPUP=20000",
    "TRAINER.FIXMATCH": "WEIGHT_U=1.0 CONF_THRE=0.95 STRONG_TRANSFORMS=()",
}

# What files of the field read of a trainer that is built, of one in the middle of training, and of what it holds.
ATTRIBUTES = {
    "trainer": "cfg device start_epoch epoch max_epoch output_dir dm train_loader_x train_loader_u val_loader "
    "test_loader num_classes num_source_domains lab2cname model evaluator best_result _models _optims _scheds _writer",
    "in training": "epoch batch_idx num_batches start_epoch max_epoch time_start",
    "data manager": "num_classes num_source_domains lab2cname dataset",
    "dataset": "train_x train_u val test lab2cname classnames num_classes dataset_dir domains",
    "wrapper": "cfg data_source transform is_train k_tfm return_img0 to_tensor",
    "evaluator": "_lab2cname _correct _total _per_class_res _y_true _y_pred cfg",
}


def missing(what: str, thing) -> list[str]:
    return [name for name in ATTRIBUTES[what].split() if not hasattr(thing, name)]


def resolve(module: str, name: str):
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name"), EVERY, ids=[f"{module}.{name}" for module, name in EVERY])
def test_a_name_and_its_signature(module, name):
    found, signature = resolve(module, name), CONTRACT[module][name]
    if not signature:
        return
    made: dict = {}
    exec(f"def contract{signature}: pass", made)
    theirs = list(inspect.signature(made["contract"]).parameters.values())
    ours = list(inspect.signature(found).parameters.values())
    assert len(ours) >= len(theirs), ours
    for their, our in zip(theirs, ours, strict=False):
        assert their.name in ("_", our.name) and their.kind == our.kind, (their, our)
        assert their.default == our.default, (their, our)
    assert all(our.default is not our.empty or our.kind is our.VAR_KEYWORD for our in ours[len(theirs) :]), ours


def test_the_same_object_under_every_path():
    for name in ("TRAINER_REGISTRY", "TrainerX", "DatasetBase", "Datum", "DATASET_REGISTRY", "DataManager",
                 "DatasetWrapper", "build_transform", "EVALUATOR_REGISTRY", "Classification"):  # fmt: skip
        found = [resolve(module, name) for module, names in CONTRACT.items() if name in names]
        assert all(each is found[0] for each in found), name


def test_every_config_key_has_its_default():
    cfg = get_cfg_default()
    assert type(cfg) is CfgNode and not cfg.is_frozen() and dassl.__version__ == "0.6.3"
    for node, text in DEFAULTS.items():
        own = resolve_node(cfg, node)
        for pair in text.split(" "):
            key, _, value = pair.partition("=")
            assert own[key] == eval(value) and type(own[key]) is type(eval(value)), f"{node}.{key}"
    cfg.TRAINER.FIELD = CfgNode()
    cfg.TRAINER.FIELD.N_CTX = 16
    clean_cfg(cfg, "Field")
    assert set(cfg.TRAINER) == {"NAME", "FIELD"} and "MCD" in get_cfg_default().TRAINER


def resolve_node(cfg: CfgNode, node: str) -> CfgNode:
    for part in filter(None, node.split(".")):
        cfg = cfg[part]
    return cfg


def test_attributes_of_a_trainer(make_cfg):
    seen = {}

    class Looking(ToyTrainer):
        def check_cfg(self, cfg):
            seen["before"] = hasattr(self, "cfg")

        def forward_backward(self, batch):
            seen["missing"] = missing("in training", self)
            seen["batch"] = set(batch)
            return super().forward_backward(batch)

    trainer = Looking(make_cfg("OPTIM.MAX_EPOCH", 1, "TEST.NO_TEST", True))
    assert missing("trainer", trainer) == []
    assert isinstance(trainer._models, OrderedDict) and trainer.get_model_names() == ["prompt_learner"]
    assert len(trainer.dm.dataset.classnames) == trainer.num_classes == 4
    trainer.train()
    assert (
        seen["before"] is False
        and seen["missing"] == []
        and seen["batch"] >= {"img", "label", "domain", "impath", "index"}
    )
    image, label, domain = super(ToyTrainer, trainer).parse_batch_train(next(iter(trainer.train_loader_x)))
    assert image.shape[0] == len(label) == len(domain)
    assert type(build_trainer(make_cfg())) is ToyTrainer


def test_attributes_of_data_and_evaluator(make_cfg):
    trainer = ToyTrainer(make_cfg())
    dataset, evaluator = trainer.dm.dataset, trainer.evaluator
    parts = {"data manager": trainer.dm, "dataset": dataset, "evaluator": evaluator}
    parts["wrapper"] = trainer.test_loader.dataset
    assert {what: found for what, part in parts.items() if (found := missing(what, part))} == {}
    assert set(vars(dataset.train_x[0])) == {"_impath", "_label", "_domain", "_classname"}  # as in upstream's pickles
    evaluator.reset()
    evaluator.process(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    results = evaluator.evaluate()
    assert isinstance(results, OrderedDict) and list(results) == ["accuracy", "error_rate", "macro_f1"]
    assert results["accuracy"] == 75
