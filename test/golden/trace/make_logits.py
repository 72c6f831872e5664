"""Writes router logits as users of transformers save them, and what they hold.

Run by hand: python test/golden/trace/make_logits.py
Made with torch 2.13.0, safetensors 0.8.0 and numpy 2.4.6: in bfloat16 by layer (the second of three is dense and absent), in
one float32 stack, and as softmaxed values with a padded sequence. Beside them, logits.json says what each file holds.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "logits"
E, K = 6, 2
torch.manual_seed(4)


def held(layers, logits, kept, ids, offsets, softmaxed=False):
    """The trace of logits [n_layers, n_tokens, n_experts], of which some tokens are kept."""
    x = logits.float()[:, kept].transpose(0, 1)
    return {
        "layers": layers,
        "sequenceOffsets": offsets,
        "tokenIds": ids,
        "expertIndices": x.topk(K).indices.flatten().tolist(),
        "routerProbs": (x if softmaxed else x.softmax(-1)).flatten().tolist(),
    }


def main():
    HERE.mkdir(exist_ok=True)
    expected = {}

    x = torch.randn(2, 6, E).to(torch.bfloat16)
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    save_file({"router_logits.0": x[0].clone(), "router_logits.2": x[1].clone(), "input_ids": ids}, HERE / "layers.safetensors")
    expected["layers.safetensors"] = held([0, 2], x, list(range(6)), ids.flatten().tolist(), [0, 3, 6])

    x = torch.randn(2, 4, E)
    np.savez(HERE / "stack.npz", router_logits=x.numpy())
    expected["stack.npz"] = held([0, 1], x, list(range(4)), [-1] * 4, [0, 4])

    # Left padding in the first sequence.
    x = torch.randn(2, 6, E).softmax(-1)
    ids, mask = np.array([[0, 3, 4], [1, 2, 5]]), np.array([[0, 1, 1], [1, 1, 1]])
    np.savez_compressed(HERE / "softmaxed.npz", x[0].numpy(), x[1].numpy(), input_ids=ids, attention_mask=mask)
    expected["softmaxed.npz"] = held([0, 1], x, [1, 2, 3, 4, 5], [3, 4, 1, 2, 5], [0, 2, 5], softmaxed=True)

    (HERE.parent / "logits.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


main()
