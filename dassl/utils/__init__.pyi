"""What `__init__.py` gives on first use, for type checkers (tests/test_types.py compares the two)."""

from .checkpoint import (
    load_checkpoint as load_checkpoint,
)
from .checkpoint import (
    load_model_state as load_model_state,
)
from .checkpoint import (
    resume_from_checkpoint as resume_from_checkpoint,
)
from .checkpoint import (
    save_checkpoint as save_checkpoint,
)
from .errors import (
    CheckError as CheckError,
)
from .errors import (
    DivergedError as DivergedError,
)
from .errors import (
    InputError as InputError,
)
from .errors import (
    MissingFileError as MissingFileError,
)
from .errors import (
    NotAvailableError as NotAvailableError,
)
from .errors import (
    UnsupportedError as UnsupportedError,
)
from .errors import (
    input_error_sentence as input_error_sentence,
)
from .files import (
    atomic_path as atomic_path,
)
from .files import (
    download_url as download_url,
)
from .files import (
    listdir_nohidden as listdir_nohidden,
)
from .files import (
    mkdir_if_missing as mkdir_if_missing,
)
from .files import (
    read_json as read_json,
)
from .files import (
    write_json as write_json,
)
from .images import read_image as read_image
from .images import to_rgb as to_rgb
from .logger import Logger as Logger
from .logger import attach_logger as attach_logger
from .logger import setup_logger as setup_logger
from .meters import AverageMeter as AverageMeter
from .meters import MetricMeter as MetricMeter
from .progress import progress as progress
from .randomness import (
    base_seed as base_seed,
)
from .randomness import (
    seeded as seeded,
)
from .randomness import (
    set_random_seed as set_random_seed,
)
from .randomness import (
    stream_seed as stream_seed,
)
from .registry import (
    Registry as Registry,
)
from .registry import (
    check_availability as check_availability,
)
from .registry import (
    get_most_similar_str_to_a_from_b as get_most_similar_str_to_a_from_b,
)
from .templates import check_template as check_template
from .tools import check_isfile as check_isfile
from .tools import collect_env_info as collect_env_info
from .tools import tolist_if_not as tolist_if_not
from .torchtools import (
    count_num_param as count_num_param,
)
from .torchtools import (
    init_network_weights as init_network_weights,
)
from .torchtools import (
    load_pretrained_weights as load_pretrained_weights,
)
from .torchtools import (
    open_all_layers as open_all_layers,
)
from .torchtools import (
    open_specified_layers as open_specified_layers,
)
