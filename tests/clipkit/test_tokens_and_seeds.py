import subprocess
import sys

import clip
import pytest
import torch

from clipkit import InputError, derive_seed, normalize, tokenize


def test_tokenize_equals_clip():
    texts = ["a photo of a cat.", "Jack-o'-lantern", "é", ""]
    tokens = tokenize(texts)
    assert torch.equal(tokens, clip.tokenize(texts).long())
    assert tokens.dtype == torch.int64
    assert torch.equal(tokenize(texts[0]), tokens[:1])
    assert tokenize([]).shape == (0, 77)


def test_too_long_text_is_named():
    long = "very " * 80 + "long"
    with pytest.raises(InputError, match="description has 83 tokens.*at most 77.*very very"):
        tokenize(["short", long], what="description")
    with pytest.raises(InputError, match="must be a string, not NoneType"):
        tokenize(["short", None])


def test_derive_seed():
    assert derive_seed(1, "context") == derive_seed(1, "context")
    assert len({derive_seed(1, "a"), derive_seed(2, "a"), derive_seed(1, "b"), derive_seed("1", "a")}) == 4
    assert all(0 <= derive_seed(i) < 2**63 for i in range(100))
    assert derive_seed(1, "context", 0) == 5656821001983375143  # also on other machines, in other runs


def test_normalize():
    x = torch.randn(3, 4, 5)
    torch.testing.assert_close(normalize(x).norm(dim=-1), torch.ones(3, 4))


def test_importing_clipkit_alone_is_quiet_and_needs_no_other_part():
    code = "import sys, clipkit; print([m for m in ('dassl', 'trainers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
