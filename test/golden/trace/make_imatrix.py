"""Writes importance matrices as llama.cpp's llama-imatrix does, and what they hold.

Run by hand: python test/golden/trace/make_imatrix.py
Made with gguf 0.19.0 and numpy 2.4.6. The second of three layers is dense. In one file the router counts every token, in
the other it left out a small batch. Beside them, imatrix.json says what both hold.
"""

import json
from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).parent / "imatrix"
E, K, N, TOKENS = 6, 2, 4, 40
rng = np.random.default_rng(13)


def write(path, counts, routed):
    writer = gguf.GGUFWriter(HERE / path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["a.txt", "b.txt"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", TOKENS)

    def add(weight, n_in, values):
        sums = rng.random((len(values), n_in), dtype=np.float32)
        writer.add_tensor(f"{weight}.in_sum2", sums)
        writer.add_tensor(f"{weight}.counts", np.array(values, dtype=np.float32).reshape(-1, 1))

    for layer in range(3):
        add(f"blk.{layer}.attn_q.weight", N, [TOKENS])
        if layer == 1:
            add(f"blk.{layer}.ffn_up.weight", N, [TOKENS])
            continue
        add(f"blk.{layer}.ffn_gate_inp.weight", N, [routed])
        for name in ["gate", "up", "down"]:
            add(f"blk.{layer}.ffn_{name}_exps.weight", N, counts[layer])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    HERE.mkdir(exist_ok=True)
    counts = {}
    for layer in [0, 2]:
        chosen = np.concatenate([rng.permutation(E - 1)[:K] for _ in range(TOKENS)])  # the last expert is never used
        counts[layer] = np.bincount(chosen, minlength=E).tolist()
    write("whole.gguf", counts, TOKENS)
    write("batches.gguf", counts, TOKENS - 5)
    held = {"layers": [0, 2], "topK": K, "counts": counts[0] + counts[2]}
    (HERE.parent / "imatrix.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")


main()
