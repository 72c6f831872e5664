"""Writes the goldens of small floats with a factor for each block of them: MXFP4 and FP8.

Run by hand: python test/golden/make_scaled.py
Made with torch 2.13.0, safetensors 0.8.0 and transformers 5.18.0. PyTorch's own 8-bit types decode: float8_e8m0fnu the
factors of MXFP4, float8_e4m3fn the values of FP8. What transformers makes of the same MXFP4 must be the same.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

HERE = Path(__file__).parent
# The eight magnitudes of two exponent bits and one fraction bit, then the same with a sign.
E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
E2M1 = torch.cat([E2M1, -E2M1])


def mxfp4(blocks, scales):
    """[..., groups, 16] bytes and [..., groups] factors to [..., groups * 32]."""
    nibbles = torch.stack([blocks & 15, blocks >> 4], -1).flatten(-2).long()
    return (E2M1[nibbles] * scales.view(torch.float8_e8m0fnu).float()[..., None]).flatten(-2)


def fp8(weight, scales):
    """[out, in] and [ceil(out / 128), ceil(in / 128)] to [out, in]."""
    spread = scales.repeat_interleave(128, 0).repeat_interleave(128, 1)
    return weight.float() * spread[: weight.shape[0], : weight.shape[1]]


def bits(tensor):
    return tensor.contiguous().view(torch.int32).flatten().tolist()


def checksum(values):
    """FNV-1a over the float32 bits, NaN as 0: a NaN's spare bits are nobody's promise."""
    hash = 0x811C9DC5
    for word in bits(torch.where(values.isnan(), torch.zeros_like(values), values)):
        hash = ((hash ^ (word & 0xFFFFFFFF)) * 0x01000193) & 0xFFFFFFFF
    return hash


def main():
    generator = torch.Generator().manual_seed(11)
    every_byte = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).repeat(256, 1, 1)
    every_scale = torch.arange(256, dtype=torch.uint8).view(256, 1).repeat(1, 16)

    blocks = torch.randint(256, (2, 4, 3, 16), generator=generator, dtype=torch.uint8)  # 2 experts of [4, 96]
    scales = torch.randint(120, 132, (2, 4, 3), generator=generator, dtype=torch.uint8)
    turned = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    assert torch.equal(turned.transpose(1, 2), mxfp4(blocks, scales))

    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    weight = torch.randn(130, 259, generator=generator).to(torch.float8_e4m3fn)
    inverse = torch.rand(2, 3, generator=generator) + 0.5
    save_file({"experts_blocks": blocks, "experts_scales": scales, "w.weight": weight, "w.weight_scale_inv": inverse},
              HERE / "scaled.safetensors")
    golden = {
        "everyMxfp4": checksum(mxfp4(every_byte, every_scale)),
        "mxfp4": bits(mxfp4(blocks, scales)),
        "everyFp8": bits(torch.where(codes.float().isnan(), torch.zeros(256), codes.float())),
        "fp8": checksum(fp8(weight, inverse)),
    }
    (HERE / "scaled.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
