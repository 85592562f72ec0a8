"""Center loss: every sample near the centre of its identity, centres that follow their samples."""

import torch
from torch import Tensor, nn

from harness.reid.losses.geometry import at_least_float32


class CenterLoss(nn.Module):
    """Half the squared distance of each sample to its identity's centre, averaged (Wen et al. 2016, eq. 2).

    The paper sums over the batch; with a mean its size does not change the balance with other losses. A call in
    training mode then moves the centres by the paper's rule (eq. 4): c_j - alpha * sum(c_j - x_i) / (1 + n_j) over the
    n_j samples of identity j in the batch. Centres are no parameters of the optimiser, whose rate, momentum and decay
    would change that rule. They start at 0.

    Args:
        classes: Training identities.
        width: D, the embedding's size.
        alpha: See above.

    >>> loss = CenterLoss(2, 1, alpha=0.5)
    >>> loss(torch.tensor([[2.0], [4.0]]), torch.tensor([1, 1]))  # (2^2 + 4^2) / 2 / 2
    tensor(5.)
    >>> loss.centers.flatten()  # 0 + 0.5 * (2 + 4) / (1 + 2)
    tensor([0., 1.])
    """

    centers: Tensor

    def __init__(self, classes: int, width: int, *, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(classes, width))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of ``embeddings`` (B, D) with ``labels`` (B,), a scalar."""
        offsets = at_least_float32(embeddings) - self.centers.index_select(0, labels)
        if self.training:
            self._follow(offsets.detach(), labels)
        return offsets.square().sum(dim=1).mean() / 2

    def _follow(self, offsets: Tensor, labels: Tensor) -> None:
        counts = torch.zeros_like(self.centers[:, 0]).index_add_(0, labels, torch.ones_like(offsets[:, 0]))
        sums = torch.zeros_like(self.centers).index_add_(0, labels, offsets)
        self.centers.add_(sums / (1.0 + counts)[:, None], alpha=self.alpha)
