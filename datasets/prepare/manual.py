"""What has to be fetched by hand, since its publisher asks for a login or a licence or no longer serves it.

`{root}` is the data folder. The checksums of ImageNet are torchvision's.
"""

from __future__ import annotations

from torchvision.datasets.imagenet import ARCHIVE_META

from .drive import PREFIX, view
from .recipes import CLASSNAMES

NAMES = view(PREFIX + CLASSNAMES)
TRAIN, VAL, DEVKIT = (ARCHIVE_META[key] for key in ("train", "val", "devkit"))

STEPS: dict[str, tuple[str, ...]] = {
    "ImageNet": (
        "Make an account at https://image-net.org and accept the terms (research and education only).",
        f"From https://image-net.org/challenges/LSVRC/2012/2012-downloads.php fetch {TRAIN[0]} (138 GB, "
        f"md5 {TRAIN[1]}), {VAL[0]} (6.3 GB, md5 {VAL[1]}) and {DEVKIT[0]} (md5 {DEVKIT[1]}) "
        "into {root}/imagenet/images.",
        "Unpack them, the validation images into one folder per class; torchvision does both:\n"
        '     python -c "from torchvision.datasets import ImageNet as I; '
        "[I('{root}/imagenet/images', split) for split in ('train', 'val')]\"",
        f"Fetch classnames.txt from {NAMES} to {{root}}/imagenet/classnames.txt.",
        "Remove the archives and check: python -m datasets doctor imagenet --root {root}",
    ),
    "StanfordCars": (
        "The publisher's server (ai.stanford.edu/~jkrause/cars) no longer answers. If you have the files, go to 3.",
        "Copies uploaded by others are on Kaggle (login), for example "
        "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset; see whether you may use one.",
        "Put the images directly into {root}/stanford_cars/cars_train (00001.jpg to 08144.jpg) and "
        "{root}/stanford_cars/cars_test (00001.jpg to 08041.jpg), without a second folder of the same name inside.",
        f"Fetch split_zhou_StanfordCars.json from {view(PREFIX + '1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT')} into "
        "{root}/stanford_cars. With it devkit/ and cars_test_annos_withlabels.mat are not needed.",
        "Check: python -m datasets doctor stanford_cars --root {root}",
    ),
    "Food101N": (
        "Prepare the test set: python -m datasets prepare food101 --root {root}",
        "Read the terms at https://kuanghuei.github.io/Food-101N and fetch Food-101N from where that page points to "
        "(https://www.kaggle.com/datasets/kuanghueilee/food-101n, login).",
        "Unpack it so that {root}/food-101n holds images/<class>/*.jpg and meta/ (the folder may also keep the name "
        "Food-101N_release).",
        "Check: python -m datasets doctor food101n --root {root}",
    ),
    "WebVisionMini": (
        "Read the terms at https://data.vision.ee.ethz.ch/cvl/webvision/download.html (research only).",
        "Fetch from there the resized Google images (google_resized_256.tar, 17 GB), the resized validation images "
        "(val_images_256.tar) and the file lists (info.tar).",
        "Unpack them so that {root}/webvision holds google/q0001/..., val_images_256/ and info/.",
        "Class names and the second test set are ImageNet's: python -m datasets prepare imagenet --root {root}",
        "Check: python -m datasets doctor webvision --root {root}",
    ),
    "PCAM": (
        "pip install h5py gdown: the pictures are HDF5 files on their authors' Google Drive.",
        "torchvision fetches them (8 GB), compares their md5 and unpacks them into {root}/pcam:\n"
        '     python -c "from torchvision.datasets import PCAM; '
        "[PCAM('{root}', part, download=True) for part in ('train', 'val', 'test')]\"",
        "Older copies have validation and test swapped: take the authors' alone.",
        "Check, which also writes the pictures as PNG files: python -m datasets doctor pcam --root {root}",
    ),
}
