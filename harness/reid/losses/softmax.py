"""The softmax loss over the training identities."""

from torch import Tensor
from torch.nn import functional as F

from harness.reid.losses.geometry import at_least_float32


def softmax_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of ``logits`` (B, classes) with ``labels`` (B,), averaged over the batch (eq. 3).

    The target of eq. 3 gives 1 to the identity; with ``label_smoothing`` s it gives 1 - s to the identity and spreads s
    evenly over all classes.

    >>> import math, torch
    >>> loss = softmax_loss(torch.zeros(2, 4), torch.tensor([0, 3]))  # an even guess among four: log 4
    >>> math.isclose(loss.item(), math.log(4), rel_tol=1e-6)
    True
    """
    return F.cross_entropy(at_least_float32(logits), labels, label_smoothing=label_smoothing)
