"""Small operations that trainers share; upstream's layers for shifted domains are not here (see left_out.py)."""

from dassl.left_out import names_left_out

from .utils import create_onehot, ema_model_update, linear_rampup, reverse_index, sharpen_prob, sigmoid_rampup

__all__ = ["create_onehot", "ema_model_update", "linear_rampup", "reverse_index", "sharpen_prob", "sigmoid_rampup"]
__getattr__ = names_left_out(__name__)
