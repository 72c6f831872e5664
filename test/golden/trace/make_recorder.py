"""Writes files as SGLang's expert distribution recorder does, others that must be refused, and what they hold.

Run by hand: python test/golden/trace/make_recorder.py
Made with torch 2.13.0. The first of three layers is dense. Four logical experts are five physical ones; tokens' rows are
eight wide, cut from a longer buffer, and the last pass is padded. Beside them, recorder.json says what each file holds.
"""

import json
import os
from pathlib import Path

import torch

HERE = Path(__file__).parent / "recorder"
L, E, P, K = 3, 4, 5, 2
torch.manual_seed(6)
MAP = torch.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 2], [1, 0, 2, 3, 3]])


class Forbidden:
    def __reduce__(self):
        return (os.getcwd, ())


def save(value, name):
    torch.save(value, HERE / name)


def passes(tokens, rows):
    """Physical ids [L, rows, 8] of a pass, a view; each token's logical experts differ."""
    buffer = torch.full((L, rows + 3, 8), -1, dtype=torch.int32)
    for layer in range(1, L):
        for t in range(rows):
            for slot, expert in enumerate(torch.randperm(E)[:K].tolist()):
                homes = (MAP[layer] == expert).nonzero().flatten()
                buffer[layer, t, slot] = homes[torch.randint(len(homes), ())]
    return buffer[:, :rows]


def counts(ids, n):
    """How often each of n experts is in ids [L, ..., 8]."""
    return torch.stack([torch.bincount(layer[layer >= 0].flatten().long(), minlength=n) for layer in ids]).int()


def logical(ids):
    return torch.stack([torch.where(layer < 0, -1, MAP[l][layer.clamp(min=0)]) for l, layer in enumerate(ids)])


def main():
    HERE.mkdir(exist_ok=True)
    held = {}
    first, second = passes(5, 5), passes(2, 3)
    both = torch.cat([logical(first), logical(second)], dim=1)

    stat = torch.zeros(3, L, E, dtype=torch.int32)  # the third pass of the buffer is not used
    stat[0], stat[1] = counts(logical(first), E), counts(logical(second), E)
    save({"rank": 0, "logical_count": stat, "average_utilization_rate_over_window": {10: 0.5, 1000: None}}, "stat.pt")
    held["counts"] = counts(both, E)[1:].flatten().tolist()

    records = [
        {"forward_pass_id": i, "rank": 0, "gatherer_key": "primary", "global_physical_count": counts(ids, P)}
        for i, ids in enumerate([first, second])
    ]
    save({"records": records, "last_physical_to_logical_map": MAP}, "per_pass.pt")

    lists = [
        {"input_ids": [11, 12, 13, 14, 15], "positions": [0, 1, 2, 0, 1], "extend_seq_lens": [3, 2], "forward_mode": 1},
        {"input_ids": [16, 17], "positions": [3, 2], "extend_seq_lens": None, "forward_mode": 2},
    ]
    tokens = [
        {**record, **more, "topk_ids_of_layer": ids, "misc_objects": []}
        for record, more, ids in zip(records, lists, [first, second])
    ]
    save({"records": tokens, "last_physical_to_logical_map": MAP}, "per_token.pt")
    kept = torch.cat([logical(first), logical(second)[:, :2]], dim=1)[1:, :, :K]  # without the padding
    held["per_token.pt"] = {
        "layers": [1, 2],
        "sequenceOffsets": [0, 3, 5, 6, 7],
        "tokenIds": [11, 12, 13, 14, 15, 16, 17],
        "positions": [0, 1, 2, 0, 1, 3, 2],
        "phases": [0, 0, 0, 0, 0, 1, 1],
        "expertIndices": kept.transpose(0, 1).flatten().tolist(),
    }

    save({"logical_count": Forbidden()}, "forbidden.pt")
    save({"logical_count": torch.zeros(1, 1, 1).expand(1 << 20, 1 << 10, 2)}, "expanded.pt")
    save({"logical_count": torch.ones(2, 3)}, "shape.pt")
    save({"records": [{**tokens[0], "positions": [0, 1]}], "last_physical_to_logical_map": MAP}, "positions.pt")
    save({"records": tokens, "last_physical_to_logical_map": MAP[:, :4] + 0}, "map.pt")
    save({"model.weight": torch.ones(2)}, "weights.pt")
    (HERE.parent / "recorder.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")


main()
