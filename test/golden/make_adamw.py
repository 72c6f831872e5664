"""Writes adamw.json: a few steps of torch.optim.AdamW on a small matrix and a norm gain.

Run with PyTorch 2.13: python make_adamw.py
The matrix decays and the gain does not; gradients are clipped by their common norm first, as in training.
"""

import json
from pathlib import Path

import torch

OPTIONS = dict(betas=(0.9, 0.95), eps=1e-8)
RATES = [0.01, 0.02, 0.015, 0.002]
WEIGHT_DECAY, CLIP = 0.1, 1.0


def main():
    torch.manual_seed(3)
    matrix, gain = torch.nn.Parameter(torch.randn(2, 3)), torch.nn.Parameter(torch.ones(3))
    groups = [dict(params=[matrix], weight_decay=WEIGHT_DECAY), dict(params=[gain], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=0.0, **OPTIONS)
    record = dict(rates=RATES, weightDecay=WEIGHT_DECAY, clipNorm=CLIP, start=numbers(matrix, gain), steps=[])
    for step, rate in enumerate(RATES):
        # The third gradient is small, so that it is not clipped; a column of the matrix never has one.
        scale = 0.1 if step == 2 else 2.0
        matrix.grad, gain.grad = scale * torch.randn(2, 3), scale * torch.randn(3)
        matrix.grad[:, 1] = 0
        gradients = numbers(matrix.grad, gain.grad)
        norm = torch.nn.utils.clip_grad_norm_([matrix, gain], CLIP).item()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        moments = [optimizer.state[p] for p in (matrix, gain)]
        record["steps"].append(
            dict(gradients=gradients, norm=norm, params=numbers(matrix, gain),
                 first=numbers(*(m["exp_avg"] for m in moments)), second=numbers(*(m["exp_avg_sq"] for m in moments)))
        )
    text = json.dumps(record, indent=1)
    (Path(__file__).parent / "adamw.json").write_text(text + "\n")


def numbers(matrix, gain):
    return dict(matrix=matrix.detach().flatten().tolist(), gain=gain.detach().tolist())


if __name__ == "__main__":
    main()
