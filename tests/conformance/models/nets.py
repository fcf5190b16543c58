"""Networks as people write them in PyTorch, small enough to train in seconds on 8 x 8 digits.

What lives here: the modules alone, no training and no export. Images arrive as [N, 1, 8, 8] within 0..1, sequences of
tokens as [N, 64] of int64 (the pixels' levels, 0..16), tables as [N, features].
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's users know
from torch import Tensor, nn

CLASSES = 10


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(64, 48), nn.GELU(), nn.LayerNorm(48), nn.Dropout(0.1), nn.Linear(48, CLASSES)
        )


class Cnn(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.LeakyReLU(0.1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96, CLASSES),
            nn.LogSoftmax(-1),
        )  # fmt: skip


class Basic(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.short = (
            nn.Identity()
            if stride == 1 and inside == out
            else nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(3, 1, 1)
        )
        self.layers = nn.Sequential(Basic(12, 12, 1), Basic(12, 24, 2), Basic(24, 32, 2))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.layers(self.stem(x)))
        return self.head(torch.flatten(x, 1))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(self.pool(x)))))


class Inverted(nn.Module):
    """MobileNet's inverted residual, depthwise in the middle."""

    def __init__(self, inside: int, out: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        wide = inside * 3
        self.add = stride == 1 and inside == out
        self.body = nn.Sequential(
            nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), activation(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), activation(),
            SqueezeExcite(wide), nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.add else self.body(x)


class MobileNet(nn.Module):
    def __init__(self, activation: type[nn.Module] = nn.Hardswish) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), activation(),
            Inverted(8, 8, 1, activation), Inverted(8, 16, 2, activation), Inverted(16, 16, 1, activation),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(16, 32), activation(), nn.Dropout(0.2), nn.Linear(32, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean([2, 3]))


class Dense(nn.Module):
    """DenseNet: every layer reads what all before it made."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 8 * i), nn.ReLU(), nn.Conv2d(8 + 8 * i, 8, 3, padding=1)) for i in range(3)
        )
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.first(x)]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return self.head(F.adaptive_avg_pool2d(F.max_pool2d(torch.cat(seen, 1), 2), 1).flatten(1))


class ConvNext(nn.Module):
    """A depthwise convolution, LayerNorm over channels last, GELU, a scale per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 2, 2)
        self.depth = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.norm, self.up, self.down = nn.LayerNorm(24, eps=1e-6), nn.Linear(24, 72), nn.Linear(72, 24)
        self.scale = nn.Parameter(torch.full((24,), 0.1))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        x = x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)
        return self.head(x.mean([-2, -1]))


class Unet(nn.Module):
    """Marks each pixel of a noisy image that belongs to the digit."""

    def __init__(self) -> None:
        super().__init__()

        def block(inside: int, out: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inside, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())

        self.a, self.b, self.c = block(1, 8), block(8, 16), block(16, 24)
        self.up_b, self.up_a = (
            nn.ConvTranspose2d(24, 16, 2, 2),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        )
        self.d, self.e, self.out = block(32, 16), block(24, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        d = self.d(torch.cat([self.up_b(c), b], 1))
        return self.out(self.e(torch.cat([self.up_a(d), a], 1)))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 8))
        self.decode = nn.Sequential(nn.Linear(8, 32), nn.SELU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)).view(-1, 1, 8, 8)


class ConvAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.Mish())
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(12, 8, 4, 2, 1),
            nn.Softplus(),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Variational(nn.Module):
    """A variational autoencoder's encoder: what people keep of it, mean and log-variance."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh())
        self.mean, self.spread, self.decode = nn.Linear(32, 6), nn.Linear(32, 6), nn.Linear(6, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.body(x)
        mean, spread = self.mean(h), self.spread(h)
        return torch.sigmoid(self.decode(mean)).view(-1, 1, 8, 8), mean, torch.exp(0.5 * spread)


class Recurrent(nn.Module):
    """The image's rows, one after the other; the last state decides."""

    def __init__(self, kind: str, bidirectional: bool = False, layers: int = 1) -> None:
        super().__init__()
        self.body = getattr(nn, kind)(8, 24, layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(48 if bidirectional else 24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.body(x)
        return self.head(out[:, -1])


class RecurrentAttention(nn.Module):
    """An LSTM whose states are weighed by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.score, self.head = nn.LSTM(8, 20, batch_first=True), nn.Linear(20, 1), nn.Linear(20, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.body(x)
        weights = torch.softmax(self.score(out), 1)
        return self.head((out * weights).sum(1))


class Temporal(nn.Module):
    """Dilated causal convolutions over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(8 if d == 1 else 24, 24, 2, dilation=d) for d in (1, 2, 4))
        self.dilations = (1, 2, 4)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for d, layer in zip(self.dilations, self.layers, strict=True):
            x = F.relu(layer(F.pad(x, (d, 0))))
        return self.head(x[..., -1])


class Encoder(nn.Module):
    """nn.TransformerEncoder over the image's rows."""

    def __init__(self, norm_first: bool = False, activation: str = "relu") -> None:
        super().__init__()
        self.embed = nn.Linear(8, 24)
        self.places = nn.Parameter(torch.randn(1, 8, 24) * 0.1)
        layer = nn.TransformerEncoderLayer(24, 4, 48, 0.0, activation, batch_first=True, norm_first=norm_first)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embed(x) + self.places).mean(1))


class Attention(nn.Module):
    """As in Hugging Face's models: heads by view and transpose, a mask that is added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), self.heads, self.size).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.size) + mask
        out = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).contiguous()
        return self.out(out.view(out.size(0), out.size(1), self.heads * self.size))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm_a, self.norm_b = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm_a(x + self.attention(x, mask))
        return self.norm_b(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    """Token, place and type embeddings, an attention mask as (1 - mask) * the least float, a pooler."""

    def __init__(self, pooling: str = "first") -> None:
        super().__init__()
        self.words, self.places, self.types = nn.Embedding(17, 24), nn.Embedding(64, 24), nn.Embedding(2, 24)
        self.norm = nn.LayerNorm(24, eps=1e-12)
        self.blocks = nn.ModuleList(Block(24, 3) for _ in range(2))
        self.pooler, self.head = nn.Linear(24, 24), nn.Linear(24, CLASSES)
        self.register_buffer("position_ids", torch.arange(64).expand((1, -1)))
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        length = input_ids.size(1)
        x = self.words(input_ids) + self.types(token_type_ids) + self.places(self.position_ids[:, :length])
        x = self.norm(x)
        wide = attention_mask[:, None, None, :].to(x.dtype)
        mask = (1.0 - wide) * torch.finfo(x.dtype).min
        for block in self.blocks:
            x = block(x, mask)
        if self.pooling == "first":
            return self.head(torch.tanh(self.pooler(x[:, 0])))
        seen = attention_mask.unsqueeze(-1).expand(x.size()).float()
        mean = (x * seen).sum(1) / torch.clamp(seen.sum(1), min=1e-9)
        return self.head(mean)


class Sentence(Bert):
    """A sentence embedding: the mean over unmasked tokens, of length 1."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # type: ignore[override] # one input fewer
        x = self.norm(self.words(input_ids) + self.places(self.position_ids[:, : input_ids.size(1)]))
        mask = torch.where(attention_mask[:, None, None, :] > 0, 0.0, torch.finfo(x.dtype).min)
        for block in self.blocks:
            x = block(x, mask)
        seen = attention_mask.unsqueeze(-1).expand(x.size()).float()
        mean = torch.sum(x * seen, 1) / torch.clamp(seen.sum(1), min=1e-9)
        return F.normalize(mean, p=2.0, dim=1)


class Distil(Bert):
    """DistilBERT's mask: filled in where it is 0."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # type: ignore[override] # one input fewer
        x = self.norm(self.words(input_ids) + self.places(self.position_ids))
        mask = (attention_mask == 0).view(-1, 1, 1, 64).expand(-1, 1, 64, 64)
        for block in self.blocks:
            attention = block.attention
            q, k, v = (
                attention.split(attention.query(x)),
                attention.split(attention.key(x)),
                attention.split(attention.value(x)),
            )
            scores = torch.matmul(q / math.sqrt(attention.size), k.transpose(2, 3)).masked_fill(
                mask, torch.finfo(x.dtype).min
            )
            out = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).contiguous().view(-1, 64, 24)
            x = block.norm_a(x + attention.out(out))
            x = block.norm_b(x + block.down(F.gelu(block.up(x))))
        return self.head(F.relu(self.pooler(x[:, 0])))


class Gpt(nn.Module):
    """GPT-2: a causal mask from a buffer, GELU by tanh, norms in front, the last token decides."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(17, 24), nn.Embedding(64, 24)
        self.qkv = nn.ModuleList(nn.Linear(24, 72) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(24, 48) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(48, 24) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(5))
        self.head = nn.Linear(24, CLASSES)
        self.register_buffer("bias", torch.tril(torch.ones(64, 64, dtype=torch.bool)).view(1, 1, 64, 64))

    def forward(self, input_ids: Tensor) -> Tensor:
        length = input_ids.size(-1)
        x = self.words(input_ids) + self.places(torch.arange(length, device=input_ids.device).unsqueeze(0))
        for i in range(2):
            q, k, v = self.qkv[i](self.norms[2 * i](x)).split(24, 2)
            q, k, v = (t.view(*t.size()[:-1], 3, 8).permute(0, 2, 1, 3) for t in (q, k, v))
            scores = torch.matmul(q, k.transpose(-1, -2)) / torch.full([], 8**0.5)
            allowed = self.bias[:, :, :length, :length]
            scores = torch.where(allowed, scores, torch.full([], torch.finfo(scores.dtype).min))
            out = torch.matmul(F.softmax(scores, -1), v).permute(0, 2, 1, 3).contiguous()
            x = x + self.out[i](out.view(*out.size()[:-2], 24))
            y = self.up[i](self.norms[2 * i + 1](x))
            y = 0.5 * y * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (y + 0.044715 * torch.pow(y, 3.0))))
            x = x + self.down[i](y)
        return self.head(self.norms[4](x)[:, -1])


class Vit(nn.Module):
    """Patches by a convolution, a class token, scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 24, 2, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, 24))
        self.places = nn.Parameter(torch.randn(1, 17, 24) * 0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(5))
        self.attention = nn.ModuleList(nn.MultiheadAttention(24, 4, batch_first=True) for _ in range(2))
        self.feed = nn.ModuleList(nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24)) for _ in range(2))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for i in range(2):
            y = self.norms[2 * i](x)
            x = x + self.attention[i](y, y, y, need_weights=False)[0]
            x = x + self.feed[i](self.norms[2 * i + 1](x))
        return self.head(self.norms[4](x)[:, 0])


class Llama(nn.Module):
    """RMS norms, rotary places, a gated feed-forward net, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(17, 24)
        self.q, self.k, self.v, self.o = (nn.Linear(24, 24, bias=False) for _ in range(4))
        self.gate, self.up, self.down = (
            nn.Linear(24, 48, bias=False),
            nn.Linear(24, 48, bias=False),
            nn.Linear(48, 24, bias=False),
        )
        self.weights = nn.ParameterList(torch.ones(24) for _ in range(3))
        self.head = nn.Linear(24, CLASSES)
        angles = torch.arange(64)[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8)
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos()[None, None])
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin()[None, None])
        self.register_buffer("mask", torch.full((64, 64), float("-inf")).triu(1))

    def norm(self, x: Tensor, i: int) -> Tensor:
        return self.weights[i] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def turn(self, x: Tensor) -> Tensor:
        half = torch.cat([-x[..., 4:], x[..., :4]], -1)
        return x * self.cos + half * self.sin

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.words(input_ids)
        y = self.norm(x, 0)
        q, k, v = (p(y).view(-1, 64, 3, 8).transpose(1, 2) for p in (self.q, self.k, self.v))
        scores = self.turn(q) @ self.turn(k).transpose(2, 3) * 8**-0.5 + self.mask
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 64, 24))
        y = self.norm(x, 1)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return self.head(self.norm(x, 2).mean(1))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 24)
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(2))
        self.tokens = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.channels = nn.Sequential(nn.Linear(24, 48), nn.GELU(approximate="tanh"), nn.Linear(48, 24))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norms[1](x))
        return self.head(x.mean(1))


class Bag(nn.Module):
    """An embedding classifier: the mean of the tokens' vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(17, 16), nn.Parameter(torch.randn(64, 1) * 0.3 + 1)
        self.body = nn.Sequential(nn.Linear(16, 48), nn.PReLU(), nn.Linear(48, CLASSES))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.body((self.words(tokens) * self.places).mean(1))


class TextCnn(nn.Module):
    """Kim's text classifier: windows of several widths, the largest answer of each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(17, 12)
        self.windows = nn.ModuleList(nn.Conv1d(12, 16, k) for k in (3, 4, 5))
        self.head = nn.Linear(48, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens).transpose(1, 2)
        return self.head(torch.cat([F.relu(w(x)).max(2).values for w in self.windows], 1))


class Mixed(nn.Module):
    """A table of numbers and categories, two inputs."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.category = nn.Embedding(4, 3)
        self.norm = nn.BatchNorm1d(numbers)
        self.body = nn.Sequential(nn.Linear(numbers + 6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        vectors = self.category(categories).flatten(1)
        return torch.softmax(self.body(torch.cat([self.norm(numbers), vectors], 1)), 1)


class Regression(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 24), nn.CELU(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).squeeze(-1)


class Siamese(nn.Module):
    """Whether two images show the same digit: the cosine of their vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.cosine_similarity(self.body(a), self.body(b))


def parameters(net: Any) -> int:
    return sum(p.numel() for p in net.parameters())
