"""A pretrained encoder or decoder with a linear head over words.

Suffixes of names: B windows, L subwords, D width, W words, T tags.
"""

from __future__ import annotations

from typing import Literal

import torch
from harness.adapters.checkpoint import Trainable
from harness.adapters.dropout import quicken_dropout
from harness.adapters.encoder_rows import read, reads_rows
from harness.adapters.masks import unmask
from harness.adapters.pretrained import autocast_in, load_pretrained, prepare
from harness.adapters.settings import TaggerSettings
from harness.adapters.subwords import Batch, SubwordEncoder
from harness.adapters.weights import folder_of, loading
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

_BEHIND_PADDING = {  # models whose positions are numbered from behind the padding's
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
}  # fmt: skip


class TokenClassifier(Trainable):
    """Gives each owned word of a batch a score for every tag. The head and all that is trained are float32."""

    def __init__(
        self, backbone: nn.Module, width: int, tags: int, pooling: Literal["first", "last", "mean"], dropout: float
    ) -> None:
        super().__init__()
        self.backbone, self.pooling = backbone, pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, tags)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.autocast: torch.dtype | None = None
        self.in_rows = reads_rows(backbone)  # of several sentences each

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scores of shape [W, T]."""
        device = batch.ids_BL.device.type
        with torch.autocast(device, dtype=self.autocast, enabled=self.autocast is not None):
            if self.in_rows:
                hidden_BLD = read(self.backbone, batch.ids_BL, batch.mask_BL)
            else:
                hidden_BLD = self.backbone(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).last_hidden_state
        pooled_WD = _pool(hidden_BLD, batch, self.pooling).float()
        scores_WT: torch.Tensor = self.head(self.dropout(pooled_WD))
        return scores_WT


def _pool(hidden_BLD: torch.Tensor, batch: Batch, pooling: str) -> torch.Tensor:
    if pooling == "first":
        return hidden_BLD[batch.row_W, batch.start_W]
    if pooling == "last":
        return hidden_BLD[batch.row_W, batch.end_W - 1]
    zero = hidden_BLD.new_zeros((hidden_BLD.shape[0], 1, hidden_BLD.shape[2]), dtype=torch.float32)
    sums_BLD = torch.cat([zero, hidden_BLD.float().cumsum(1)], 1)
    total_WD = sums_BLD[batch.row_W, batch.end_W] - sums_BLD[batch.row_W, batch.start_W]
    return total_WD / (batch.end_W - batch.start_W).unsqueeze(1)


def build_classifier(settings: TaggerSettings, tags: int) -> tuple[TokenClassifier, SubwordEncoder]:
    """Load the weights, remove the masks, add the adapters and the head. Draws from torch's global seed."""
    encoder = build_encoder(settings)
    folder = folder_of(settings.model)
    backbone = load_pretrained(AutoModel, folder, settings.model, settings.machine, settings.train)
    if settings.unmask:
        unmask(backbone, settings.unmask)
    width = backbone.config.hidden_size
    backbone = prepare(backbone, settings.model, settings.train, settings.lora, settings.machine)
    quicken_dropout(backbone)
    model = TokenClassifier(backbone, width, tags, settings.pooling, settings.dropout)
    model.autocast = autocast_in(settings.model, settings.train, settings.machine)
    return model, encoder


def build_encoder(settings: TaggerSettings) -> SubwordEncoder:
    """The tokenizer, with as many subwords a window as the settings and the model allow. Raises CardError."""
    folder = folder_of(settings.model)
    trust = settings.model.trust_remote_code
    with loading(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    limit = min(settings.max_length, getattr(config, "max_position_embeddings", None) or settings.max_length)
    if config.model_type in _BEHIND_PADDING:
        limit = min(limit, config.max_position_embeddings - max(1, config.pad_token_id or 1) - 1)
    return SubwordEncoder(tokenizer, limit, settings.overlap)
