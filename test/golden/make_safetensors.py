"""Writes the safetensors goldens with PyTorch and the safetensors library.

Run by hand: python test/golden/make_safetensors.py
Made with torch 2.13.0 and safetensors 0.8.0. Beside the files, safetensors.json holds what PyTorch says their values
are: floats as the bits of their float32, whole numbers as they are.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
INF, NAN = float("inf"), float("nan")
# Ordinary, signed zeros, infinities, NaN, subnormal and extreme values of each type, an odd number of them.
EDGES = {
    torch.float32: [0.0, -0.0, 1.0, -1.5, 3.1415927, INF, -INF, NAN, 1e-45, -1.1754942e-38, 1.1754944e-38, 3.4028235e38, 65536.5],
    torch.bfloat16: [0.0, -0.0, 1.0, -1.5, 3.140625, INF, -INF, NAN, 9.2e-41, -1.1663108e-38, 1.1754944e-38, 3.3895314e38, 65536.0],
    torch.float16: [0.0, -0.0, 1.0, -1.5, 3.140625, INF, -INF, NAN, 5.9604645e-8, -6.097555e-5, 6.103515625e-5, 65504.0, 0.33325195],
}


def bits(tensor):
    return tensor.float().contiguous().view(torch.int32).flatten().tolist()


def main():
    generator = torch.Generator().manual_seed(7)
    tensors = {
        f"edges.{name}": torch.tensor(EDGES[dtype], dtype=dtype)
        for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16), ("f16", torch.float16)]
    }
    tensors["experts.w1"] = torch.randn(4 * 3, 5, generator=generator).to(torch.bfloat16)  # 4 experts of [3, 5]
    tensors["half.weight"] = torch.randn(3, 7, generator=generator).to(torch.float16)
    tensors["scalar"] = torch.tensor(-2.5)
    tensors["empty"] = torch.zeros(0, 3)
    integers = {
        "int64": torch.tensor([[0, -1, 2**31 - 1], [-(2**31), 42, 7]]),
        "int32": torch.tensor([-(2**31), 0, 2**31 - 1], dtype=torch.int32),
        "int16": torch.tensor([-32768, 32767], dtype=torch.int16),
        "int8": torch.tensor([-128, 0, 127], dtype=torch.int8),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
    }
    too_large = {"int64.large": torch.tensor([1, 2**31])}
    save_file({**tensors, **integers, **too_large}, HERE / "safetensors.safetensors", {"format": "pt", "note": "naïve ✓"})

    every_half = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    checksums = {}
    for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16)]:
        # FNV-1a over the float32 bits of all 65,536 values, NaN left out: a NaN's spare bits are nobody's promise.
        values = every_half.view(dtype).float()
        words = torch.where(values.isnan(), torch.zeros_like(values), values).view(torch.int32).tolist()
        hash = 0x811C9DC5
        for word in words:
            hash = ((hash ^ (word & 0xFFFFFFFF)) * 0x01000193) & 0xFFFFFFFF
        checksums[name] = hash

    # float32 bits and the bfloat16 bits that PyTorch rounds them to: ties both ways, carries, overflow, subnormals.
    patterns = [0x3F800000, 0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x3FFFFFFF, 0x7F7FFFFF, 0xFF7F8000, 0x7F7F7FFF]
    patterns += [0x7F800000, 0xFF800000, 0x00000001, 0x00008000, 0x00008001, 0x00018000, 0x807FFFFF, 0x80000000, 0x42F6E979]
    patterns += torch.randn(200, generator=generator).view(torch.int32).tolist()
    signed = torch.tensor([p - 2**32 if p >= 2**31 else p for p in patterns], dtype=torch.int32)
    rounded = signed.view(torch.float32).to(torch.bfloat16).view(torch.int16)

    golden = {
        "shapes": {name: list(tensor.shape) for name, tensor in {**tensors, **integers, **too_large}.items()},
        "bits": {name: bits(tensor) for name, tensor in tensors.items()},
        "integers": {name: [int(x) for x in tensor.flatten().tolist()] for name, tensor in integers.items()},
        "checksums": checksums,
        "rounding": {"float32": signed.tolist(), "bfloat16": [x & 0xFFFF for x in rounded.tolist()]},
    }
    (HERE / "safetensors.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
