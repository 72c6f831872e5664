"""Writes two tiny mT5 checkpoints with transformers, and what it computes with them.

Run by hand: python test/golden/families/make_mt5.py
Made with torch 2.13.0 and transformers 5.18.0. transformers ties the head whatever the configuration says, but leaves
one that lies in the file as it is; it never scales what a tied head reads, as transformers 4 did. Both are so here.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import MT5Config, MT5ForConditionalGeneration
from transformers.models.mt5 import modeling_mt5

HERE = Path(__file__).parent
MODELS = {
    # Heads together wider than d_model, more decoder than encoder blocks, texts longer than the exact buckets, a head of
    # its own, the configuration as published ones have it.
    "mt5": dict(seed=31, untied=True, source=15, target=9, vocab_size=37, d_model=20, d_kv=6, d_ff=14, num_layers=2,
                num_decoder_layers=3, num_heads=4, relative_attention_num_buckets=8, relative_attention_max_distance=12),
    # An odd width of heads and an odd number of them, an odd number of buckets, a tied head.
    "mt5-tied": dict(seed=32, untied=False, source=7, target=19, vocab_size=29, d_model=16, d_kv=5, d_ff=11, num_layers=2,
                     num_heads=3, relative_attention_num_buckets=11, relative_attention_max_distance=9,
                     layer_norm_epsilon=1e-3),
}
OWN_KEYS = {"seed", "untied", "source", "target"}
BATCH = 2


def build(m, folder):
    torch.manual_seed(m["seed"])
    model = MT5ForConditionalGeneration(MT5Config(**{key: value for key, value in m.items() if key not in OWN_KEYS}))
    if m["untied"]:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    with torch.no_grad():
        for name, w in model.named_parameters():
            if w.dim() == 1:
                w.uniform_(0.5, 1.5)
            elif "shared" in name or "relative_attention_bias" in name:
                w.normal_()
            elif ".q." in name:  # scores are not scaled
                w.normal_(std=1.2 / (w.shape[-1] * m["d_kv"]) ** 0.5)
            else:
                w.normal_(std=1.2 / w.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    if m["untied"]:
        config = json.loads((folder / "config.json").read_text())
        config["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = MT5ForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    assert torch.equal(model.lm_head.weight, model.shared.weight) != m["untied"]
    return model.eval()


def record(model, source, target):
    """Runs the model and returns the hooks' values under their names."""
    values = {}
    where = {}  # the attention modules' names

    def keep(name, value):
        values[name] = value.detach().clone()

    def norm(module, name):
        def after(_m, args, output):
            keep(f"{name}.hook_scale", (args[0].square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt())
            keep(f"{name}.hook_normalized", output)

        module.register_forward_hook(after)

    def attention(module, query, key, value, mask, scaling=None, position_bias=None, **kwargs):
        out, pattern = eager(module, query, key, value, mask, scaling=scaling, position_bias=position_bias, **kwargs)
        name = where[module]
        for hook, heads in zip("qkv", [query, key, value]):
            keep(f"{name}.hook_{hook}", heads.transpose(1, 2))
        scores = query @ key.transpose(2, 3) * scaling + position_bias
        keep(f"{name}.hook_attn_scores", scores if mask is None else scores.masked_fill(mask < 0, -torch.inf))
        keep(f"{name}.hook_pattern", pattern)
        keep(f"{name}.hook_z", out)
        if module.has_relative_attention_bias:
            keep(f"{name.split('.')[0]}.hook_position_bias", position_bias[0])
        return out, pattern

    def enters(module, name):
        module.register_forward_pre_hook(lambda _m, args: keep(name, args[0]))

    def leaves(module, name):
        module.register_forward_hook(lambda _m, _args, output: keep(name, output[0] if isinstance(output, tuple) else output))

    for side in ["encoder", "decoder"]:
        stack = getattr(model, side)
        leaves(stack.embed_tokens, f"{side}.hook_embed")
        norm(stack.final_layer_norm, f"{side}.ln_final")
        for l, block in enumerate(stack.block):
            name = f"{side}.blocks.{l}"
            enters(block, f"{name}.hook_resid_pre")
            leaves(block, f"{name}.hook_resid_post")
            first, *cross, last = block.layer
            norm(first.layer_norm, f"{name}.ln1")
            where[first.SelfAttention] = f"{name}.attn"
            leaves(first.SelfAttention.o, f"{name}.hook_attn_out")
            for layer in cross:
                enters(layer.layer_norm, f"{name}.hook_resid_cross")
                norm(layer.layer_norm, f"{name}.ln_cross")
                where[layer.EncDecAttention] = f"{name}.cross"
                leaves(layer.EncDecAttention.o, f"{name}.hook_cross_out")
            enters(last.layer_norm, f"{name}.hook_resid_mid")
            norm(last.layer_norm, f"{name}.ln2")
            mlp = last.DenseReluDense
            leaves(mlp.wi_0, f"{name}.mlp.hook_pre")
            leaves(mlp.wi_1, f"{name}.mlp.hook_pre_linear")
            enters(mlp.wo, f"{name}.mlp.hook_post")
            leaves(mlp.wo, f"{name}.hook_mlp_out")

    eager = modeling_mt5.eager_attention_forward
    modeling_mt5.eager_attention_forward = attention
    with torch.no_grad():
        output = model(input_ids=source, decoder_input_ids=target, output_attentions=True, output_hidden_states=True)
    modeling_mt5.eager_attention_forward = eager
    keep("logits", output.logits)

    # What the model itself reports must be what the hooks saw.
    for l, pattern in enumerate(output.encoder_attentions):
        assert torch.equal(pattern, values[f"encoder.blocks.{l}.attn.hook_pattern"])
    for l, (pattern, cross) in enumerate(zip(output.decoder_attentions, output.cross_attentions)):
        assert torch.equal(pattern, values[f"decoder.blocks.{l}.attn.hook_pattern"])
        assert torch.equal(cross, values[f"decoder.blocks.{l}.cross.hook_pattern"])
        assert torch.equal(output.decoder_hidden_states[l], values[f"decoder.blocks.{l}.hook_resid_pre"])
    assert torch.equal(output.encoder_last_hidden_state, values["encoder.ln_final.hook_normalized"])
    return values


def buckets():
    """The bucket of each distance, key before query first, for published and other settings."""
    distances = torch.arange(-150, 151)
    bucket = modeling_mt5.MT5Attention._relative_position_bucket
    settings = [(32, 128, True), (32, 128, False), (8, 12, True), (8, 12, False), (11, 9, True), (11, 9, False)]
    return [
        dict(nBuckets=count, maxDistance=most, bidirectional=both, buckets=bucket(distances, both, count, most).tolist())
        for count, most, both in settings
    ]


def main():
    for name, m in MODELS.items():
        folder = HERE / name
        model = build(m, folder)
        source = torch.randint(m["vocab_size"], (BATCH, m["source"]))
        target = torch.cat([torch.zeros(BATCH, 1, dtype=torch.long), torch.randint(m["vocab_size"], (BATCH, m["target"] - 1))], 1)
        values = {"source": source.int(), "target": target.int(), **record(model, source, target)}
        save_file({key: x.contiguous() for key, x in values.items()}, HERE / f"{name}.values.safetensors")
        print(name, len(values), model.encoder.config.num_layers, (folder / "model.safetensors").stat().st_size)
    (HERE / "mt5-buckets.json").write_text(json.dumps(buckets(), separators=(",", ":")) + "\n")


main()
