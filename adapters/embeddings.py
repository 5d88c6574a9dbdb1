"""Embeddings of which only the rows that training reads are trained, where all of a model is.

A vocabulary has tens of thousands of rows, a task some thousand subwords. AdamW does nothing to the other rows but
decay them, all alike, and yet their gradients, moments and updates take their time at every update.
Suffixes of names: B windows, L subwords, V vocabulary, R rows that are read, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel


class ReadRows(nn.Module):
    """What training makes of an embedding, up to rounding: the rows `read_V` learn, the others decay.

    `weight`, as models expect an embedding to have, are those that learn, [R, D]. All others are decayed by one number,
    whose gradient is zero: padding, which may stand for a word, does not learn either.
    """

    place_V: torch.Tensor
    table_VD: torch.Tensor

    def __init__(self, table_VD: torch.Tensor, read_V: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("table_VD", table_VD.detach(), persistent=False)
        self.register_buffer("place_V", torch.where(read_V, read_V.cumsum(0) - 1, -1), persistent=False)
        self.weight = nn.Parameter(table_VD.detach()[read_V])
        self.decayed = nn.Parameter(table_VD.new_ones(1, 1))  # a matrix, as the optimizer decays no vectors
        self.decayed.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        """Shape [B, L, D]."""
        place_BL = self.place_V[ids_BL]
        rows_BLD = F.embedding(place_BL.clamp(min=0), self.weight)
        others_BLD = F.embedding(ids_BL, self.table_VD) * self.decayed
        return torch.where(place_BL.unsqueeze(-1) < 0, others_BLD, rows_BLD)

    @torch.no_grad()
    def put_back(self) -> None:
        """Write what was learned into the table."""
        self.table_VD *= self.decayed
        self.table_VD[self.place_V >= 0] = self.weight


@contextmanager
def reading_only(backbone: PreTrainedModel, ids: Iterable[int]) -> Iterator[None]:
    """Inside, of embeddings that are trained, only the rows of these subwords are; the others decay as they would."""
    embedding = backbone.get_input_embeddings()
    if type(embedding) is not nn.Embedding or not embedding.weight.requires_grad:
        yield
        return
    read_V = torch.zeros(embedding.num_embeddings, dtype=torch.bool, device=embedding.weight.device)
    read_V[list(set(ids) - {embedding.padding_idx})] = True  # padding has no gradient
    rows = ReadRows(embedding.weight, read_V)
    backbone.set_input_embeddings(rows)
    try:
        yield
    finally:
        rows.put_back()
        backbone.set_input_embeddings(embedding)
