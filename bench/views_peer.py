"""Writes what CircuitsVis and BertViz make of an attention tensor: views_peer.py TENSOR N_HEADS N_TOKENS FOLDER NAME...

TENSOR is a file of little-endian float32, [n_heads, q_pos, k_pos]. FOLDER gets NAME.html for each of
circuitsvis, with its script inside as it is sent where there is no network, and bertviz-head and bertviz-model, which ask
for theirs. Prints the
seconds that each took.
"""

import sys
import time
from pathlib import Path

import circuitsvis.attention
import numpy
import torch
from bertviz import head_view, model_view

PAGE = '<!doctype html><html><head><meta charset="utf-8"></head><body>{}</body></html>'


def main(path, n_heads, n_tokens, folder, names):
    pattern = numpy.fromfile(path, "<f4").reshape(n_heads, n_tokens, n_tokens)
    tokens = [f"t{i}" for i in range(n_tokens)]
    layer = [torch.from_numpy(pattern).unsqueeze(0)]
    makers = {
        "circuitsvis": lambda: circuitsvis.attention.attention_heads(attention=pattern, tokens=tokens).local_src,
        "bertviz-head": lambda: head_view(attention=layer, tokens=tokens, html_action="return").data,
        "bertviz-model": lambda: model_view(attention=layer, tokens=tokens, html_action="return").data,
    }
    for name in names:
        start = time.monotonic()
        html = makers[name]()
        print(f"{name} {time.monotonic() - start:.3f}", flush=True)
        (folder / f"{name}.html").write_text(PAGE.format(html), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:])
