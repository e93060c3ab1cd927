"""Linear transforms of features that part the states better: LDA and MLLT.

T frames, F features, S columns, M Gaussians per column. Statistics are in double precision.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pipelines.ahead import each
from pipelines.phoneme.gmm import Block, Chunks, Mixtures

SWEEPS = 10  # over the rows of a transform; each row is best for the others as they are
RIDGE = 1e-6  # of a matrix' mean diagonal, added so that it can be inverted


def splice(features: Tensor, frames: int) -> Tensor:
    """Each frame with so many before and after it; the edges are repeated.

    Shape:
        (T, F) -> (T, (2 frames + 1) F)
    """
    index = torch.arange(len(features)).unsqueeze(1) + torch.arange(-frames, frames + 1)
    return features[index.clamp(0, len(features) - 1)].flatten(1)


def lda(blocks: Iterable[Block], columns: int, dimensions: int) -> Tensor:
    """The directions that part the columns best, scaled so that the variance within a column is 1.

    Source: Fisher 1936; for recognition Haeb-Umbach and Ney 1992.

    Args:
        blocks: Frames and their columns.
        columns: S.
        dimensions: D, to keep.

    Returns:
        The transform, (D, F).
    """
    counts, sums, squares = torch.zeros(columns, dtype=torch.double), torch.empty(0), torch.empty(0)
    for frames, states in blocks:
        exact = frames.double()
        if not len(sums):
            size = exact.shape[1]
            sums, squares = exact.new_zeros(columns, size), exact.new_zeros(size, size)
        sums.index_add_(0, states, exact)
        counts += torch.bincount(states, minlength=columns)
        squares += exact.T @ exact
    seen, total = counts > 0, counts.sum()
    mean, means = sums.sum(0) / total, sums[seen] / counts[seen].unsqueeze(1)
    between = (means - mean).T @ ((means - mean) * (counts[seen] / total).unsqueeze(1))
    within = squares / total - torch.outer(mean, mean) - between
    within += RIDGE * within.diagonal().mean() * torch.eye(len(within), dtype=torch.double)
    whiten = torch.linalg.inv(torch.linalg.cholesky(within))
    _, vectors = torch.linalg.eigh(whiten @ between @ whiten.T)  # the largest eigenvalue last
    best = vectors.flip(1)[:, :dimensions].T @ whiten
    largest = best.abs().argmax(1, keepdim=True)
    signed: Tensor = best * best.gather(1, largest).sign()  # an eigenvector's sign is arbitrary
    return signed.float()


def mllt(mixtures: Mixtures, blocks: Iterable[Chunks]) -> Tensor:
    """The transform after which diagonal covariances fit best.

    Source: Gales 1999 (semi-tied covariances), with one transform for all.

    Args:
        mixtures: Of the features as they are.
        blocks: All frames.

    Returns:
        The transform, (F, F).
    """
    columns, gaussians, size = mixtures.means.shape
    inverse, scorer = 1.0 / mixtures.variances.double(), mixtures.scorer()

    def products(chunks: Chunks) -> list[Tensor]:
        shares, values = scorer.shares(chunks), chunks.values[:, :, size:]
        means = mixtures.means[chunks.columns].unsqueeze(2)
        apart = (values - means[:, gaussian] for gaussian in range(gaussians))
        return [(one * shares[:, :, [gaussian]]).mT @ one for gaussian, one in enumerate(apart)]

    scatter, total = torch.zeros(size, size, size, dtype=torch.double), 0.0  # a matrix for each row of the transform
    for block in blocks:
        total += float(block.real.sum())
        moments = torch.zeros(gaussians, columns, size, size, dtype=torch.double)
        for chunks, found in zip(block.pieces(), each(products, block.pieces(), 0), strict=True):
            for gaussian, one in enumerate(found):
                moments[gaussian].index_add_(0, chunks.columns, one.double())
        for gaussian in range(gaussians):
            scatter += torch.einsum("sr,sij->rij", inverse[:, gaussian], moments[gaussian])
    inverses = torch.linalg.inv(scatter / total)
    transform = torch.eye(size, dtype=torch.double)
    for _ in range(SWEEPS):
        for row in range(size):
            cofactor = torch.linalg.inv(transform)[:, row]
            towards = inverses[row] @ cofactor
            transform[row] = towards / (cofactor @ towards).sqrt()
    return transform.float()
