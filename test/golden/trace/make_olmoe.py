"""Writes a dump as OLMoE's run_moe_analysis.py does, and what it holds.

Run by hand: python test/golden/trace/make_olmoe.py
Made with torch 2.13.0. `exp_ids` is by token, rank and layer, and rank 0 is the first choice. Beside it, olmoe.json says what
it holds.
"""

import json
from pathlib import Path

import torch

HERE = Path(__file__).parent / "olmoe"
E, K, L, T = 6, 3, 2, 4
torch.manual_seed(9)


def main():
    HERE.mkdir(exist_ok=True)
    lines, tokens, experts = [], [], []
    for _ in range(2):
        logits = torch.randn(L, T, E)
        ids = torch.randint(0, 100, (T,)).tolist()
        ranked = torch.stack([torch.argsort(layer, dim=-1, descending=True)[:, :K] for layer in logits], dim=-1)
        lines.append(json.dumps({"input_ids": ids, "predicted_token_ids": ids[1:] + [0], "exp_ids": ranked.tolist()}))
        tokens += ids
        for t in range(T):
            for layer in range(L):
                experts += logits[layer, t].topk(K).indices.tolist()
    (HERE / "dump.jsonl").write_text("\n".join(lines) + "\n")
    held = {"layers": [0, 1], "sequenceOffsets": [0, T, 2 * T], "tokenIds": tokens,
            "positions": list(range(T)) * 2, "phases": None, "expertIndices": experts}
    (HERE.parent / "olmoe.json").write_text(json.dumps({"dump.jsonl": held}, separators=(",", ":")) + "\n")


main()
