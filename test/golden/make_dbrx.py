"""Writes tiny random DBRX checkpoints, and what transformers' own DBRX computes with them.

Run by hand: python test/golden/make_dbrx.py
Made with torch 2.13.0 and transformers 5.18.0 (CPU, float32, eager attention). In dbrx/, for each model NAME:

NAME/                     the checkpoint as save_pretrained leaves it
NAME.values.safetensors   every hook under its own name and shape (lib/hooks.ts), and beside them
                          ids [batch, pos], generated [n] (greedy, after the first sequence), and the losses:
                          loss.cross_entropy, loss.load_balance_hf, loss.load_balance_megablocks (weight 1),
                          loss.z [n_layers] (mean over tokens of logsumexp(router logits)², weight 1)
Rows inside an expert are in rising order of hook_token_index. For one model also
NAME.gradients_hf.safetensors and NAME.gradients_megablocks.safetensors: the gradient of a training loss on `ids`,
which is stored as `loss`, by every parameter under its name in the checkpoint. The inputs are all tokens but the last
of each row, the labels all but the first; the load-balancing loss has weight 0.05, the z-loss (mean over the layers;
in the MegaBlocks file only) weight 0.01.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import DbrxConfig, DbrxForCausalLM
from transformers.models.dbrx import modeling_dbrx

HERE = Path(__file__).parent / "dbrx"

# Odd sizes on purpose: a mixed-up axis must not fit. `clip` bites on the unit-variance queries, keys and values.
MODELS = {
    # Grouped queries, p-norm 1, a clamp that bites often.
    "p1": dict(seed=2, d=24, heads=4, kv=2, layers=2, experts=8, k=3, ff=10, vocab=37, ctx=32, base=500000.0,
               clip=0.7, p=1.0, batch=2, pos=11),
    # One key-value head for each query head, p-norm 2, a clamp that leaves little more than signs.
    "p2": dict(seed=8, d=16, heads=4, kv=4, layers=3, experts=16, k=4, ff=6, vocab=29, ctx=16, base=10000.0,
               clip=0.05, p=2.0, batch=2, pos=5),
    # One key-value head for all, weights left as they are, one expert a token, no clamp; saved in shards.
    "pnone": dict(seed=17, d=32, heads=8, kv=1, layers=2, experts=4, k=1, ff=18, vocab=41, ctx=64, base=500000.0,
                  clip=None, p=None, batch=1, pos=40, shard="30KB"),
    # Saved in bfloat16, and computed in float32 from the rounded weights.
    "bf16": dict(seed=9, d=20, heads=2, kv=1, layers=2, experts=5, k=2, ff=14, vocab=53, ctx=24, base=500000.0,
                 clip=8.0, p=1.0, batch=3, pos=9, dtype=torch.bfloat16),
    # Every expert chosen: the dense mixture.
    "dense": dict(seed=23, d=18, heads=3, kv=3, layers=1, experts=3, k=3, ff=11, vocab=31, ctx=16, base=500000.0,
                  clip=None, p=1.0, batch=1, pos=8),
}
GRADIENTS_OF = "p2"
LOAD_BALANCE_WEIGHT, Z_WEIGHT = 0.05, 0.01


def build(m, folder):
    """Saves a seeded model and reads it back, in float32."""
    torch.manual_seed(m["seed"])
    config = DbrxConfig(
        d_model=m["d"], n_heads=m["heads"], n_layers=m["layers"], max_seq_len=m["ctx"], vocab_size=m["vocab"],
        # transformers 5 takes RoPE's base from rope_parameters, the published configuration has it in attn_config.
        rope_parameters={"rope_type": "default", "rope_theta": m["base"]},
        attn_config=dict(kv_n_heads=m["kv"], clip_qkv=m["clip"], rope_theta=m["base"]),
        ffn_config=dict(ffn_hidden_size=m["ff"], moe_num_experts=m["experts"], moe_top_k=m["k"], moe_jitter_eps=0,
                        moe_loss_weight=LOAD_BALANCE_WEIGHT, moe_normalize_expert_weights=m["p"]),
        attn_implementation="eager",
    )
    config.tie_last_hidden_states = False
    model = DbrxForCausalLM(config)
    with torch.no_grad():
        for name, w in model.named_parameters():
            if "norm" in name and w.dim() == 1:
                w.uniform_(0.5, 1.5)
            elif "wte" in name:
                w.normal_()
            else:  # unit variance in, about unit variance out; the router sharper, so that tokens differ
                fan_in = m["ff"] if name.endswith("w2") else m["d"]
                w.normal_(std=(2.0 if "router" in name else 1.2) / fan_in**0.5)
    model.to(m.get("dtype", torch.float32)).save_pretrained(folder, max_shard_size=m.get("shard", "50GB"))
    (folder / "generation_config.json").unlink()
    model = DbrxForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for block in model.transformer.blocks:
        if m["clip"] is None:  # which transformers 5.18.0 stumbles over
            block.norm_attn_norm.attn.clip_qkv = torch.inf
    return model


def record(model, ids):
    """Runs the model and returns every hook's value under its name."""
    values = {}
    heads = model.config.n_heads
    d_head = model.config.d_model // heads

    def after(module, name, pick=lambda output: output):
        module.register_forward_hook(lambda _m, _args, output: values.__setitem__(name, pick(output).detach()))

    def norm(module, name):
        after(module, f"{name}.hook_normalized")

        def scale(_m, args):
            variance = args[0].var(-1, keepdim=True, unbiased=False)
            values[f"{name}.hook_scale"] = (variance + module.eps).sqrt().detach()

        module.register_forward_pre_hook(scale)

    def attention(module, query, key, value, mask, **kwargs):
        out, pattern = eager(module, query, key, value, mask, **kwargs)
        name = f"blocks.{module.layer_idx}.attn"
        values[f"{name}.hook_rot_q"] = query.transpose(1, 2).detach()
        values[f"{name}.hook_rot_k"] = key.transpose(1, 2).detach()
        scores = query @ key.repeat_interleave(heads // key.shape[1], 1).transpose(2, 3) / d_head**0.5
        values[f"{name}.hook_attn_scores"] = scores.masked_fill(mask < 0, -torch.inf).detach()
        values[f"{name}.hook_pattern"] = pattern.detach()
        values[f"{name}.hook_z"] = out.detach()
        return out, pattern

    after(model.transformer.wte, "hook_embed")
    for l, block in enumerate(model.transformer.blocks):
        name = f"blocks.{l}"
        block.register_forward_pre_hook(
            lambda _m, args, name=name: values.__setitem__(f"{name}.hook_resid_pre", args[0].detach())
        )
        after(block, f"{name}.hook_resid_post")
        norm(block.norm_attn_norm.norm_1, f"{name}.ln1")
        norm(block.norm_attn_norm.norm_2, f"{name}.ln2")
        after(block.norm_attn_norm, f"{name}.hook_resid_mid", lambda output: output[0])
        after(block.norm_attn_norm.attn.out_proj, f"{name}.hook_attn_out")
        after(block.ffn, f"{name}.hook_mlp_out")

        def qkv(_m, _args, output, name=f"{name}.attn", attn=block.norm_attn_norm.attn):
            rows = output.detach().clamp(-attn.clip_qkv, attn.clip_qkv).unflatten(-1, (-1, d_head))
            kv = attn.num_key_value_heads
            values[f"{name}.hook_q"], values[f"{name}.hook_k"], values[f"{name}.hook_v"] = rows.split([heads, kv, kv], 2)

        block.norm_attn_norm.attn.Wqkv.register_forward_hook(qkv)
        record_moe(block.ffn, f"{name}.mlp", values, ids.shape)
    norm(model.transformer.norm_f, "ln_final")
    after(model.lm_head, "logits")

    eager = modeling_dbrx.eager_attention_forward
    modeling_dbrx.eager_attention_forward = attention
    with torch.no_grad():
        output = model(ids, output_router_logits=True, output_attentions=True, output_hidden_states=True)
    modeling_dbrx.eager_attention_forward = eager

    # What the model itself reports must be what the hooks saw.
    for l in range(model.config.n_layers):
        assert torch.equal(output.attentions[l], values[f"blocks.{l}.attn.hook_pattern"])
        assert torch.equal(output.hidden_states[l], values[f"blocks.{l}.hook_resid_pre"])
        assert torch.equal(output.router_logits[l], values[f"blocks.{l}.mlp.hook_router_logits"].flatten(0, 1))
    assert torch.equal(output.hidden_states[-1], values[f"blocks.{l}.hook_resid_post"])
    return values, output


def record_moe(ffn, name, values, shape):
    route, experts = ffn.route_tokens_to_experts, ffn.experts.forward

    def routing(logits):
        weights, indices = route(logits)
        values[f"{name}.hook_router_logits"] = logits.detach().unflatten(0, shape)
        values[f"{name}.hook_router_probs"] = logits.detach().softmax(-1).unflatten(0, shape)
        values[f"{name}.hook_expert_weights"] = weights.detach().unflatten(0, shape)
        values[f"{name}.hook_expert_indices"] = indices.unflatten(0, shape)
        return weights, indices

    def mixture(hidden, indices, weights):
        # One call an expert, in rising order, over its (slot, token) pairs slot by slot.
        hit = indices.unique().tolist()
        out = torch.zeros(*indices.shape, hidden.shape[-1])

        def expert(_m, args, output):
            x, w1, v1, _w2 = args
            e = hit.pop(0)
            slot, token = torch.where((indices == e).T)
            order = token.argsort()
            inner = f"{name}.experts.{e}"
            pre, linear = x @ w1.T, x @ v1.T
            values[f"{inner}.hook_token_index"] = token[order]
            values[f"{inner}.hook_pre"] = pre[order].detach()
            values[f"{inner}.hook_pre_linear"] = linear[order].detach()
            values[f"{inner}.hook_post"] = (torch.nn.functional.silu(pre) * linear)[order].detach()
            out[token, slot] = output.detach()

        handle = ffn.experts.mlp.register_forward_hook(expert)
        mixed = experts(hidden, indices, weights)
        handle.remove()
        assert not hit
        values[f"{name}.hook_expert_out"] = out.unflatten(0, shape)
        return mixed

    ffn.route_tokens_to_experts, ffn.experts.forward = routing, mixture


def losses(values, m):
    """The losses of lib/train in NumPy and float64, from the router logits; HF's own comes from transformers."""
    logits = [values[f"blocks.{l}.mlp.hook_router_logits"].double().numpy() for l in range(m["layers"])]
    balance, z = 0.0, []
    for x in logits:
        x = x.reshape(-1, m["experts"])
        log_sum = np.log(np.exp(x).sum(-1))
        z.append((log_sum**2).mean())
        chosen = np.argsort(-x, -1)[:, : m["k"]]
        tokens = np.bincount(chosen.ravel(), minlength=m["experts"])
        balance += (tokens * np.exp(x - log_sum[:, None]).mean(0)).sum()
    rows = m["batch"] * m["pos"]
    return balance * m["experts"] / (m["layers"] * rows * m["k"]), z


def gradients(model, ids, m, form):
    """Next-token cross-entropy of ids[:, :-1], plus the named load-balancing loss; with MegaBlocks' also a z-loss."""
    model.zero_grad()
    inputs, labels = ids[:, :-1], ids[:, 1:].contiguous()
    output = model(inputs, labels=inputs, shift_labels=labels, output_router_logits=True)
    loss = output.loss  # transformers' own sum
    cross_entropy = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(loss, cross_entropy + LOAD_BALANCE_WEIGHT * output.aux_loss)
    if form == "megablocks":
        loss = cross_entropy
        for logits in output.router_logits:
            probs = logits.softmax(-1)
            tokens = torch.bincount(probs.topk(m["k"]).indices.flatten(), minlength=m["experts"])
            scale = LOAD_BALANCE_WEIGHT * m["experts"] / (m["layers"] * len(logits) * m["k"])
            loss = loss + scale * (tokens * probs.mean(0)).sum()
            loss = loss + Z_WEIGHT / m["layers"] * logits.logsumexp(-1).square().mean()
    loss.backward()
    found = {name: w.grad.clone() for name, w in model.named_parameters()}
    return {"loss": loss.detach(), **found}


def stored(tensor):
    return (tensor if tensor.is_floating_point() else tensor.to(torch.int32)).clone().contiguous()


def main():
    for name, m in MODELS.items():
        model = build(m, HERE / name)
        ids = torch.randint(m["vocab"], (m["batch"], m["pos"]))
        if name == GRADIENTS_OF:
            for form in ["hf", "megablocks"]:
                save_file(gradients(model, ids, m, form), HERE / f"{name}.gradients_{form}.safetensors")
        generated = model.generate(ids[:1, :4], max_new_tokens=m["ctx"] - 4, do_sample=False)[0, 4:]
        values, output = record(model, ids)
        balance, z = losses(values, m)
        logits = output.logits[:, :-1].flatten(0, 1)
        values |= {
            "ids": ids,
            "generated": generated,
            "loss.cross_entropy": torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten()),
            "loss.load_balance_hf": output.aux_loss,
            "loss.load_balance_megablocks": torch.tensor(balance),
            "loss.z": torch.tensor(z),
        }
        save_file({key: stored(x.float() if x.is_floating_point() else x) for key, x in values.items()}, HERE / f"{name}.values.safetensors")
        report(name, m, values)


def report(name, m, values):
    """What makes the golden worth something: routing differs, no choice is a near-tie, the clamp bites."""
    probs = torch.cat([values[f"blocks.{l}.mlp.hook_router_probs"].flatten(0, 1) for l in range(m["layers"])])
    gaps = -probs.sort(-1, descending=True).values.diff(dim=-1)[:, : m["k"]]
    q = torch.cat([values[f"blocks.{l}.attn.hook_q"].flatten() for l in range(m["layers"])])
    clamped = (q.abs() == m["clip"]).float().mean().item() if m["clip"] else 0
    sets = {tuple(sorted(row)) for l in range(m["layers"]) for row in values[f"blocks.{l}.mlp.hook_expert_indices"].flatten(0, 1).tolist()}
    idle = sum(f"blocks.{l}.mlp.experts.{e}.hook_token_index" not in values for l in range(m["layers"]) for e in range(m["experts"]))
    size = sum(f.stat().st_size for f in (HERE / name).iterdir())
    print(json.dumps(dict(model=name, gap=gaps.min().item(), clamped=clamped, sets=len(sets), idle=idle, bytes=size,
                          values=(HERE / f"{name}.values.safetensors").stat().st_size)))


if __name__ == "__main__":
    main()
