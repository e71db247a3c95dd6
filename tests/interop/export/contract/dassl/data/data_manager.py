"""Plain torch loaders over the items of a data set."""

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from dassl.utils import read_image

from .datasets import build_dataset
from .samplers import build_sampler
from .transforms import INTERPOLATION_MODES, build_transform


def build_data_loader(
    cfg,
    sampler_type="SequentialSampler",
    data_source=None,
    batch_size=64,
    n_domain=0,
    n_ins=2,
    tfm=None,
    is_train=True,
    dataset_wrapper=None,
):
    sampler = build_sampler(sampler_type, cfg, data_source, batch_size, n_domain, n_ins)
    wrapper = dataset_wrapper or DatasetWrapper
    loader = DataLoader(
        wrapper(cfg, data_source, transform=tfm, is_train=is_train),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        drop_last=is_train and len(data_source) >= batch_size,
        pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
    )
    assert len(loader) > 0
    return loader


class DatasetWrapper(Dataset):
    def __init__(self, cfg, data_source, transform=None, is_train=False):
        self.cfg, self.data_source, self.transform, self.is_train = cfg, data_source, transform, is_train
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        steps = [Resize(cfg.INPUT.SIZE, interpolation=INTERPOLATION_MODES[cfg.INPUT.INTERPOLATION]), ToTensor()]
        if "normalize" in cfg.INPUT.TRANSFORMS:
            steps.append(Normalize(mean=cfg.INPUT.PIXEL_MEAN, std=cfg.INPUT.PIXEL_STD))
        self.to_tensor = Compose(steps)

    def __len__(self):
        return len(self.data_source)

    def __getitem__(self, idx):
        item = self.data_source[idx]
        output = {"label": item.label, "domain": item.domain, "impath": item.impath, "index": idx}
        image = read_image(item.impath)
        transforms = self.transform if isinstance(self.transform, (list, tuple)) else [self.transform]
        for i, transform in enumerate(transforms):
            made = [transform(image) for _ in range(self.k_tfm)]
            output["img" if i == 0 else f"img{i + 1}"] = made[0] if self.k_tfm == 1 else made
        if self.return_img0:
            output["img0"] = self.to_tensor(image)
        return output


class DataManager:
    def __init__(self, cfg, custom_tfm_train=None, custom_tfm_test=None, dataset_wrapper=None):
        dataset = build_dataset(cfg)
        tfm_train = custom_tfm_train or build_transform(cfg, is_train=True)
        tfm_test = custom_tfm_test or build_transform(cfg, is_train=False)
        part = cfg.DATALOADER.TRAIN_X
        self.train_loader_x = build_data_loader(
            cfg, part.SAMPLER, dataset.train_x, part.BATCH_SIZE, part.N_DOMAIN, part.N_INS, tfm_train, True,
            dataset_wrapper,
        )  # fmt: skip
        self.train_loader_u = None

        def for_tests(items):
            part = cfg.DATALOADER.TEST
            return build_data_loader(
                cfg, part.SAMPLER, items, part.BATCH_SIZE, tfm=tfm_test, is_train=False, dataset_wrapper=dataset_wrapper
            )

        self.val_loader = for_tests(dataset.val) if dataset.val else None
        self.test_loader = for_tests(dataset.test)
        self.dataset = dataset

    @property
    def num_classes(self):
        return self.dataset.num_classes

    @property
    def num_source_domains(self):
        return 0

    @property
    def lab2cname(self):
        return self.dataset.lab2cname
