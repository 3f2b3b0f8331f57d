"""Train a small GPT on the source of Python's own library, each step as one compiled program, and
let it write with a cache of keys and values.

    python examples/gpt.py
    python examples/gpt.py --no-compile     # the same weights, to the last bit
"""

import argparse
import time
from dataclasses import dataclass

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.data import datasets


@dataclass
class Config:
    vocab_size: int = 96
    block_size: int = 64
    n_layer: int = 3
    n_head: int = 4
    n_embd: int = 96
    dropout: float = 0.0


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, cache=None):
        B, T, C = x.size()
        q, k, v = (
            y.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            for y in self.c_attn(x).split(C, dim=2)
        )
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)), (k, v)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.GELU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            nn.Dropout(config.dropout),
        )

    def forward(self, x, cache=None):
        seen, cache = self.attn(self.ln_1(x), cache)
        x = x + seen
        return x + self.mlp(self.ln_2(x)), cache


class GPT(nn.Module):
    """Ids [B, T] to scores of what follows each of them [B, T, vocab_size], and the caches."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, idx, caches=None):
        begin = 0 if caches is None else caches[0][0].size(2)
        pos = torch.arange(begin, begin + idx.size(1), device=idx.device)
        x = self.wte(idx) + self.wpe(pos)
        kept = []
        for block, cache in zip(self.h, caches or [None] * len(self.h), strict=True):
            x, cache = block(x, cache)
            kept.append(cache)
        return self.lm_head(self.ln_f(x)), kept

    @torch.no_grad()
    def generate(self, idx, new_tokens, temperature=0.8, top_k=10):
        """`idx` [1, T] with `new_tokens` drawn characters behind it, at most block_size in all."""
        logits, caches = self(idx)
        for _ in range(new_tokens):
            logits = logits[:, -1] / temperature
            least = torch.topk(logits, top_k).values[:, [-1]]
            probs = F.softmax(logits.masked_fill(logits < least, -float("inf")), dim=-1)
            drawn = torch.multinomial(probs, num_samples=1)
            idx = torch.cat([idx, drawn], dim=1)
            logits, caches = self(drawn, caches)
        return idx


def configure_optimizer(model, lr, weight_decay=0.1):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95))


def main(steps=600, batch_size=16, size=400_000, compile=True):
    torch.manual_seed(1337)
    text = datasets.stdlib_text(size)
    data = text.encode(text.text)
    config = Config(vocab_size=len(text.vocabulary))
    model = GPT(config)
    optimizer = configure_optimizer(model, lr=3e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps + 1)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

    def get_batch():
        ix = torch.randint(len(data) - config.block_size - 1, (batch_size,))
        x = torch.stack([data[i : i + config.block_size] for i in ix])
        y = torch.stack([data[i + 1 : i + 1 + config.block_size] for i in ix])
        return x, y

    def train_step(x, y):
        optimizer.zero_grad(set_to_none=True)
        logits, _ = model(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    if compile:
        train_step = torch.compile(train_step)
    began, loss_sum, since = time.perf_counter(), 0.0, 0
    for step in range(1, steps + 1):
        loss_sum, since = loss_sum + train_step(*get_batch()).item(), since + 1
        scheduler.step()
        if step % 100 == 0 or step == steps:
            took = 1000 * (time.perf_counter() - began) / step
            print(f"step {step:4d}  loss {loss_sum / since:.3f}  {took:.1f} ms a step")
            loss, loss_sum, since = loss_sum / since, 0.0, 0

    model.eval()
    prompt = text.encode("\ndef ").unsqueeze(0)
    print(text.decode(model.generate(prompt, config.block_size - prompt.size(1))[0]))
    return loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    main(**vars(parser.parse_args()))
