"""Writes tiny random checkpoints of the dense DBRX (one gated linear unit in the place of the experts), and what it computes.

Run by hand: python test/golden/make_dense_dbrx.py
Made with torch 2.13.0 and transformers 5.18.0 (CPU, float32). `forward` is written from the published description of the
block, with einsum over whole tensors, and shares nothing with lib/. In dbrx/, for each model NAME:

NAME/                     the checkpoint as a DBRX of one expert, whose router says 1 whatever its weights are
NAME.values.safetensors   ids [batch, pos], every hook of lib/hooks.ts under its own name and shape, and
                          generated [n] (greedy, after the first 4 tokens of the first sequence)
NAME.gradients.safetensors   for GRADIENTS_OF: the gradient of the mean cross-entropy of ids[:, 1:] after ids[:, :-1], which
                          is stored as `loss`, by every tensor of the checkpoint but the routers

transformers reads the same folders and must give the same logits.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import DbrxForCausalLM

HERE = Path(__file__).parent / "dbrx"

# Odd sizes on purpose: a mixed-up axis must not fit.
MODELS = {
    # Grouped queries, a clamp that bites, routers of zeros, as moescope writes them.
    "glu": dict(seed=31, d=24, heads=4, kv=2, layers=2, ff=14, vocab=37, ctx=32, base=500000.0, clip=0.7, batch=2, pos=9,
                router=0.0),
    # One key-value head for all, narrow, a clamp that leaves little more than signs, routers of any numbers; bfloat16.
    "glu-routed": dict(seed=32, d=18, heads=3, kv=1, layers=3, ff=7, vocab=29, ctx=16, base=10000.0, clip=0.05, batch=1,
                       pos=13, router=1.0, dtype=torch.bfloat16),
}
GRADIENTS_OF = "glu"


def build(m, folder):
    torch.manual_seed(m["seed"])
    d, ff, kv_width = m["d"], m["ff"], m["kv"] * m["d"] // m["heads"]
    matrix = lambda rows, columns, fan_in: 1.2 * torch.randn(rows, columns) / fan_in**0.5
    gain = lambda: 0.5 + torch.rand(d)
    tensors = {"transformer.wte.weight": torch.randn(m["vocab"], d)}
    for l in range(m["layers"]):
        at = f"transformer.blocks.{l}"
        tensors |= {
            f"{at}.norm_attn_norm.norm_1.weight": gain(),
            f"{at}.norm_attn_norm.norm_2.weight": gain(),
            f"{at}.norm_attn_norm.attn.Wqkv.weight": matrix(d + 2 * kv_width, d, d),
            f"{at}.norm_attn_norm.attn.out_proj.weight": matrix(d, d, d),
            f"{at}.ffn.router.layer.weight": m["router"] * torch.randn(1, d),
            f"{at}.ffn.experts.mlp.w1": matrix(ff, d, d),
            f"{at}.ffn.experts.mlp.v1": matrix(ff, d, d),
            f"{at}.ffn.experts.mlp.w2": matrix(ff, d, ff),
        }
    tensors |= {"transformer.norm_f.weight": gain(), "lm_head.weight": matrix(m["vocab"], d, d)}
    folder.mkdir(exist_ok=True)
    dtype = m.get("dtype", torch.float32)
    save_file({key: x.to(dtype).contiguous() for key, x in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    config = dict(
        architectures=["DbrxForCausalLM"], model_type="dbrx", d_model=d, n_heads=m["heads"], n_layers=m["layers"],
        max_seq_len=m["ctx"], vocab_size=m["vocab"], tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=m["base"]),
        attn_config=dict(kv_n_heads=m["kv"], clip_qkv=m["clip"], rope_theta=m["base"]),
        ffn_config=dict(ffn_hidden_size=ff, moe_num_experts=1, moe_top_k=1),
    )
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def layer_norm(x, gain, name, values):
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    values[f"{name}.hook_scale"], values[f"{name}.hook_normalized"] = scale, centred / scale * gain
    return values[f"{name}.hook_normalized"]


def rotate(x, base):
    """[batch, pos, heads, d_head] with the pairs (j, j + d_head/2) turned by pos · base^(−2j/d_head), as complex numbers."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1])[:, None] * base ** (-torch.arange(half) / half)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None]
    turned = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * turn
    return torch.cat([turned.real, turned.imag], -1)


def forward(weights, ids, m):
    """Every hook's value by its name."""
    values = {}
    d_head, group, length = m["d"] // m["heads"], m["heads"] // m["kv"], ids.shape[1]
    x = values["hook_embed"] = weights["transformer.wte.weight"][ids]
    for l in range(m["layers"]):
        w = lambda name: weights[f"transformer.blocks.{l}.{name}"]
        keep = lambda name, value: values.setdefault(f"blocks.{l}.{name}", value)
        a = layer_norm(keep("hook_resid_pre", x), w("norm_attn_norm.norm_1.weight"), f"blocks.{l}.ln1", values)
        qkv = (a @ w("norm_attn_norm.attn.Wqkv.weight").T).clamp(-m["clip"], m["clip"])
        q, k, v = qkv.unflatten(-1, (-1, d_head)).split([m["heads"], m["kv"], m["kv"]], 2)
        keep("attn.hook_q", q), keep("attn.hook_k", k), keep("attn.hook_v", v)
        q, k = keep("attn.hook_rot_q", rotate(q, m["base"])), keep("attn.hook_rot_k", rotate(k, m["base"]))
        scores = torch.einsum("bqkgd,bskd->bkgqs", q.unflatten(2, (-1, group)), k).flatten(1, 2) / d_head**0.5
        ahead = torch.ones(length, length).triu(1).bool()
        pattern = keep("attn.hook_attn_scores", scores.masked_fill(ahead, -torch.inf)).softmax(-1)
        keep("attn.hook_pattern", pattern)
        z = torch.einsum("bkgqs,bskd->bqkgd", pattern.unflatten(1, (-1, group)), v).flatten(2, 3)
        out = keep("attn.hook_z", z).flatten(2) @ w("norm_attn_norm.attn.out_proj.weight").T
        mid = keep("hook_resid_mid", x + keep("hook_attn_out", out))
        y = layer_norm(mid, w("norm_attn_norm.norm_2.weight"), f"blocks.{l}.ln2", values)
        pre, linear = keep("mlp.hook_pre", y @ w("ffn.experts.mlp.w1").T), keep("mlp.hook_pre_linear", y @ w("ffn.experts.mlp.v1").T)
        post = keep("mlp.hook_post", pre / (1 + (-pre).exp()) * linear)
        x = keep("hook_resid_post", mid + keep("hook_mlp_out", post @ w("ffn.experts.mlp.w2")))
    x = layer_norm(x, weights["transformer.norm_f.weight"], "ln_final", values)
    values["logits"] = x @ weights["lm_head.weight"].T
    return values


def generate(weights, ids, m):
    """The likeliest token again and again, to the end of the context."""
    text = ids[:1, :4]
    while text.shape[1] < m["ctx"]:
        text = torch.cat([text, forward(weights, text, m)["logits"][:, -1:].argmax(-1)], 1)
    return text[0, 4:]


def gradients(weights, ids, m):
    learned = {key: x.clone().requires_grad_() for key, x in weights.items() if "router" not in key}
    logits = forward(learned, ids[:, :-1], m)["logits"]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    return {"loss": loss.detach(), **{key: x.grad for key, x in learned.items()}}


def main():
    for name, m in MODELS.items():
        folder = HERE / name
        build(m, folder)
        weights = {key: x.float() for key, x in load_file(folder / "model.safetensors").items()}
        ids = torch.randint(m["vocab"], (m["batch"], m["pos"]))
        values = forward(weights, ids, m)
        theirs = DbrxForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        with torch.no_grad():
            difference = (theirs(ids).logits - values["logits"]).abs().max().item()
        clamped = torch.cat([values[f"blocks.{l}.attn.hook_q"].flatten() for l in range(m["layers"])]).abs() == m["clip"]
        print(json.dumps(dict(model=name, difference=difference, clamped=clamped.float().mean().item())))
        assert difference < 1e-4
        stored = {key: x.contiguous().clone() for key, x in values.items()}
        whole = {"ids": ids.to(torch.int32), "generated": generate(weights, ids, m).to(torch.int32)}
        save_file({**whole, **stored}, HERE / f"{name}.values.safetensors")
        if name == GRADIENTS_OF:
            save_file(gradients(weights, ids, m), HERE / f"{name}.gradients.safetensors")


if __name__ == "__main__":
    main()
