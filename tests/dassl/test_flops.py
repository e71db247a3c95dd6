"""Operations are counted whatever gradients a task takes."""

import torch
from torch import nn

from dassl.utils.flops import operations


def test_a_matrix_product():
    a, b = torch.rand(3, 5), torch.rand(5, 7)
    assert operations(lambda: a @ b) == 2 * 3 * 5 * 7


def test_the_gradient_of_a_tensor_that_a_module_was_given():
    layer, given = nn.Linear(5, 7, bias=False), torch.rand(3, 5, requires_grad=True)
    layer.requires_grad_(False)
    found = operations(lambda: torch.autograd.grad(layer(given).sum(), given))
    assert found == 2 * (2 * 3 * 5 * 7)  # there and back
