"""What transformers computes with the shipped model: logits after a passage of each kind in models/passages.json.

Run by hand: python test/golden/make_reference.py
Made with torch 2.13.0, transformers 5.18.0 and tokenizers (CPU, float32, eager attention). In reference.safetensors, for
passage i: ids.i [pos] as the tokenizers package encodes the text, at most the context (512), and logits.i [d_vocab] of the last one.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parents[2]


def main():
    folder = ROOT / "models" / "reference"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    passages = json.loads((ROOT / "models" / "passages.json").read_text())
    values = {}
    for i in range(0, len(passages), 4):
        ids = torch.tensor(tokenizer.encode(passages[i]["text"]).ids[: model.config.max_position_embeddings], dtype=torch.int32)
        with torch.no_grad():
            values[f"logits.{i}"] = model(ids[None].long()).logits[0, -1].clone()
        values[f"ids.{i}"] = ids
    save_file(values, Path(__file__).parent / "reference.safetensors")


if __name__ == "__main__":
    main()
