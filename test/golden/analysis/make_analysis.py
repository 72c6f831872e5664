"""What other code makes of the logit lens, of direct logit attribution and of ablations, on the tiny checkpoints.

Run by hand, after make_dbrx.py, make_families.py and make_grok.py: python test/golden/analysis/make_analysis.py
Made with NumPy 2.4, torch 2.13.0 and transformers 5.18.0 (CPU). Writes analysis.json beside this file:

lens, attribution   NumPy in float64, from the values that transformers (for Grok-1: NumPy) recorded in *.values.safetensors
                    and from the checkpoint's own weights, for the first sequence of `ids`. A part of the residual stream is
                    put through the final norm by itself, with the mean that is its own and the scale of the whole.
losses              transformers' DBRX: the loss of each token of three documents, whole; with one expert's down projection
                    set to zero; with its router logit pushed down; and with its mean output in the place of its outputs
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import DbrxForCausalLM

HERE = Path(__file__).parent
GOLDEN = HERE.parent

# Where each family keeps what is needed, and what it multiplies by.
FAMILIES = {
    "dbrx/p1": dict(
        final="transformer.norm_f.weight", head="lm_head.weight", centred=True, eps=1e-5, residual=1.0, logit=1.0,
        out="transformer.blocks.{l}.norm_attn_norm.attn.out_proj.weight", heads=4, posts=None),
    "families/granite": dict(
        final="model.norm.weight", head="model.embed_tokens.weight", centred=False, eps=1e-6, residual=0.45,
        logit=1 / 3, out="model.layers.{l}.self_attn.o_proj.weight", heads=4, posts=None),
    "families/grok": dict(
        final="model.norm.scale", head="model.embed_tokens.weight", centred=False, eps=1e-5, residual=1.0,
        logit=0.6, out="model.layers.{l}.attn.o_proj.weight", heads=4,
        posts=("model.layers.{l}.post_attn_norm.scale", "model.layers.{l}.post_moe_norm.scale")),
}
N_TOP = 3


def scale_of(x, f):
    if f["centred"]:
        x = x - x.mean(-1, keepdims=True)
    return np.sqrt((x**2).mean(-1, keepdims=True) + f["eps"])


def norm(x, scale, gain, f):
    if f["centred"]:
        x = x - x.mean(-1, keepdims=True)
    return x / scale * gain


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def analyse(name, f):
    values = {key: value.astype(np.float64) for key, value in load_file(GOLDEN / f"{name}.values.safetensors").items()}
    weights = {key: value.astype(np.float64) for key, value in load_file(GOLDEN / name / "model.safetensors").items()}
    gain, head = weights[f["final"]], weights[f["head"]]
    ids = values["ids"][0].astype(int)
    n, layers = len(ids), sum(1 for key in values if key.endswith("hook_resid_post"))
    streams = [values["hook_embed"][0]] + [values[f"blocks.{l}.hook_resid_post"][0] for l in range(layers)]

    unembed = lambda x, scale: norm(x, scale, gain, f) @ head.T * f["logit"]
    reads = [log_softmax(unembed(x, scale_of(x, f))) for x in streams]
    top = [np.argsort(-r, -1, kind="stable")[:, :N_TOP] for r in reads]
    final = reads[-1].argmax(-1)
    lens = dict(
        topIds=[t.tolist() for t in top],
        topProbs=[np.exp(np.take_along_axis(r, t, -1)).tolist() for r, t in zip(reads, top)],
        finalRank=[(1 + (r > r[np.arange(n), final][:, None]).sum(-1)).tolist() for r in reads],
        nextLoss=[(-r[np.arange(n - 1), ids[1:]]).tolist() for r in reads],
        norms=[np.linalg.norm(x, axis=-1).tolist() for x in streams],
    )

    targets = (ids * 3 + 1) % len(head)
    against = (ids + 5) % len(head)
    whole = scale_of(streams[-1], f)

    def share(part, relative=None):
        logits = unembed(part, whole)
        base = 0 if relative is None else logits[np.arange(n), relative]
        return (logits[np.arange(n), targets] - base).tolist()

    attribution = dict(targets=targets.tolist(), against=against.tolist(), embedding=share(streams[0]),
                       logits=share(streams[-1]), difference=share(streams[-1], against),
                       attention=[], mlp=[], heads=[], experts=[])
    for l in range(layers):
        attention, mlp = values[f"blocks.{l}.hook_attn_out"][0], values[f"blocks.{l}.hook_mlp_out"][0]
        attribution["attention"].append(share(attention))
        attribution["mlp"].append(share(mlp, against))
        z, out = values[f"blocks.{l}.attn.hook_z"][0], weights[f["out"].format(l=l)]
        columns = np.split(out, f["heads"], axis=1)
        by_head = [z[:, h] @ columns[h].T for h in range(f["heads"])]
        mixing = values[f"blocks.{l}.mlp.hook_expert_weights"][0]
        outputs = values[f"blocks.{l}.mlp.hook_expert_out"][0]
        by_slot = [mixing[:, j, None] * outputs[:, j] for j in range(mixing.shape[1])]
        added = []
        for parts, which in ((by_head, 0), (by_slot, 1)):
            if f["posts"] is not None:
                post = weights[f["posts"][which].format(l=l)]
                scale = scale_of(sum(parts), f)
                parts = [norm(part, scale, post, f) for part in parts]
            added.append([share(part * f["residual"]) for part in parts])
        attribution["heads"].append(np.transpose(added[0]).tolist())
        attribution["experts"].append(np.transpose(added[1]).tolist())
    return dict(lens=lens, attribution=attribution)


DOCUMENTS = [[5, 17, 3, 9, 0, 22, 36, 30, 8, 1, 14], [2, 33, 33, 7, 21, 4, 19], [12, 6, 28, 3]]
LAYER, EXPERT = 0, 2


def losses():
    model = DbrxForCausalLM.from_pretrained(GOLDEN / "dbrx" / "p1", dtype=torch.float32, attn_implementation="eager")
    ffn = model.transformer.blocks[LAYER].ffn
    width = model.config.ffn_config.ffn_hidden_size
    w2 = ffn.experts.mlp.w2
    own = lambda: w2.view(-1, width, w2.shape[-1])[EXPERT]

    def run():
        rows = []
        for document in DOCUMENTS:
            ids = torch.tensor([document])
            with torch.no_grad():
                rows.append(-model(ids).logits[0, :-1].log_softmax(-1)[torch.arange(len(document) - 1), ids[0, 1:]])
        return [row.tolist() for row in rows]

    is_expert = lambda args: torch.equal(args[3].reshape(own().shape), own())
    seen = []
    handle = ffn.experts.mlp.register_forward_hook(lambda _m, args, out: seen.append(out) if is_expert(args) else None)
    result = dict(documents=DOCUMENTS, layer=LAYER, expert=EXPERT, base=run())
    handle.remove()
    mean = torch.cat(seen).mean(0)
    result["mean_output"], result["tokens"] = mean.tolist(), sum(len(rows) for rows in seen)
    handle = ffn.experts.mlp.register_forward_hook(
        lambda _m, args, out: mean.expand_as(out) if is_expert(args) else None)
    result["mean"] = run()
    handle.remove()

    def forbid(_m, _args, out):
        logits = out.clone()
        logits[..., EXPERT] -= 1e9
        return logits

    router = next(module for module in ffn.router.modules() if isinstance(module, torch.nn.Linear))
    handle = router.register_forward_hook(forbid)
    result["reroute"] = run()
    handle.remove()
    with torch.no_grad():
        own().zero_()
    result["zero"] = run()
    return result


def rounded(x):
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    if isinstance(x, list):
        return [rounded(value) for value in x]
    return float(f"{x:.8g}") if isinstance(x, float) else x


def main():
    golden = {name.split("/")[1]: analyse(name, f) for name, f in FAMILIES.items()}
    golden["losses"] = losses()
    (HERE / "analysis.json").write_text(json.dumps(rounded(golden), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
