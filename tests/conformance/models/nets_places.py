"""More networks as people write them in PyTorch, small as those of nets.py: windows, learned queries, states by hand,
sizes to resize to, sequences that lead, the last token of each row.

What lives here: the modules alone, no training and no export; the inputs are those of nets.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's users know
from nets import CLASSES
from torch import Tensor, nn


class Pyramid(nn.Module):
    """A feature pyramid that marks pixels: nearest upsampling, then bilinear to the size of the largest."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((1, 8, 1), (8, 12, 2), (12, 16, 2))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o, s in sizes
        )
        self.sides = nn.ModuleList(nn.Conv2d(o, 8, 1) for _, o, _ in sizes)
        self.out = nn.Conv2d(24, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        parts = [side(part) for side, part in zip(self.sides, found, strict=True)]
        for i in (1, 0):
            parts[i] = parts[i] + F.interpolate(parts[i + 1], scale_factor=2.0, mode="nearest")
        size = found[0].shape[-2:]
        parts = [F.interpolate(part, size=size, mode="bilinear", align_corners=False) for part in parts]
        return self.out(torch.cat(parts, 1))


class Perceiver(nn.Module):
    """Learned latents that look at all pixels, each with its place."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(0.1 * torch.randn(6, 16))
        self.inside, self.norm, self.head = nn.Linear(3, 16), nn.LayerNorm(16), nn.Linear(16, CLASSES)
        self.look = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mix = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        line = torch.linspace(-1, 1, 8)
        self.register_buffer("grid", torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(1, 64, 2))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        pixels = torch.cat([x.flatten(2).transpose(1, 2), self.grid.expand(rows, -1, -1)], -1)
        pixels = self.inside(pixels)
        latents = self.latents.unsqueeze(0).repeat(rows, 1, 1)
        latents = latents + self.look(self.norm(latents), pixels, pixels, need_weights=False)[0]
        return self.head(self.mix(latents).mean(1))


class Cells(nn.Module):
    """An LSTM cell stepped by hand, from zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(8, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 16)
        c = torch.zeros_like(h)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return self.head(h)


class Padded(nn.Module):
    """PyTorch's tutorial: the sequence leads, sines are its places, what is padding is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(17, 16), nn.Linear(16, CLASSES)
        place, rate = torch.arange(64)[:, None], torch.exp(torch.arange(0, 16, 2) * (-math.log(1e4) / 16))
        sines = torch.zeros(64, 1, 16)
        sines[:, 0, 0::2], sines[:, 0, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
        self.register_buffer("sines", sines)
        layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.words(input_ids).transpose(0, 1) * 4
        x = x + self.sines[: x.size(0)]
        return self.head(self.body(x, src_key_padding_mask=attention_mask == 0).mean(0))


class LastToken(nn.Module):
    """A GRU's state at each row's last token, and a mask read at places, as Hugging Face's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(17, 12), nn.GRU(12, 16, batch_first=True)
        self.query, self.head = nn.Linear(16, 16), nn.Linear(32, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x, _ = self.body(self.words(input_ids))
        rows = torch.arange(x.size(0))
        last = x[rows, attention_mask.sum(1) - 1]
        seen = attention_mask.bool()[rows[:, None], torch.arange(x.size(1))[None]]
        scores = torch.einsum("nd,nld->nl", self.query(last), x) / 4
        shares = F.softmax(scores.masked_fill(~seen, float("-inf")), -1)
        return self.head(torch.cat([last, (shares.unsqueeze(-1) * x).sum(1)], -1))


class Windows(nn.Module):
    """Swin: attention within windows, which are rows of their own meanwhile; the second time they are rolled."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm, self.head = nn.Conv2d(1, 12, 1), nn.LayerNorm(12), nn.Linear(12, CLASSES)
        self.qkv = nn.ModuleList(nn.Linear(12, 36) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(12, 12) for _ in range(2))
        self.bias = nn.Parameter(0.1 * torch.randn(2, 1, 2, 16, 16))

    def attend(self, x: Tensor, i: int) -> Tensor:
        x = x.view(-1, 2, 4, 2, 4, 12).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 12)
        q, k, v = self.qkv[i](self.norm(x)).reshape(-1, 16, 3, 2, 6).permute(2, 0, 3, 1, 4).unbind(0)
        shares = torch.softmax(q @ k.transpose(-2, -1) * 6**-0.5 + self.bias[i], -1)
        x = self.out[i]((shares @ v).transpose(1, 2).reshape(-1, 16, 12))
        return x.view(-1, 2, 2, 4, 4, 12).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        x = x + self.attend(x, 0)
        x = x + torch.roll(self.attend(torch.roll(x, (-2, -2), (1, 2)), 1), (2, 2), (1, 2))
        return self.head(self.norm(x).mean((1, 2)))


class Codes(nn.Module):
    """A quantised autoencoder: each part of the hidden layer becomes the nearest of some codes."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
        self.decode = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
        self.codes = nn.Embedding(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encode(x).view(-1, 4, 4)
        flat, codes = z.reshape(-1, 4), self.codes.weight
        far = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ codes.t() + codes.pow(2).sum(1)
        near = self.codes(far.argmin(1)).view_as(z)
        return self.decode((z + (near - z).detach()).flatten(1)).view(-1, 1, 8, 8)
