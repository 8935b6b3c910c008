"""Writes test/golden/bitsandbytes: models that bitsandbytes quantised and transformers saved, and what bitsandbytes makes of them.

python test/exchange/make_quantized.py OUT (torch, transformers, accelerate, bitsandbytes): the same versions and seeds write the same values.
"""
import hashlib
import json
import shutil
import sys
from pathlib import Path

import accelerate
import bitsandbytes
import torch
import transformers
from bitsandbytes import functional
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

transformers.utils.logging.disable_progress_bar()
VERSIONS = {one.__name__: one.__version__ for one in (torch, transformers, bitsandbytes, accelerate)}
SHAPE = dict(vocab_size=17, n_positions=8, n_layer=1, bos_token_id=0, eos_token_id=0)
NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4")
CASES = {
    # Blocks that cross rows, and a last one that is no whole block.
    "nf4": (dict(n_embd=36, n_head=3, n_inner=44), NF4),
    # More than 256 blocks in a matrix.
    "nf4-double": (dict(n_embd=64, n_head=4, n_inner=320), dict(NF4, bnb_4bit_use_double_quant=True)),
    "int8": (dict(n_embd=64, n_head=4, n_inner=64), dict(load_in_8bit=True)),
}


def sha256(tensor):
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def dequantized(weight):
    """The matrix as GPT-2 has it, [in, out], in float32."""
    if isinstance(weight, bitsandbytes.nn.Int8Params):
        return functional.int8_vectorwise_dequant(weight.data, weight.SCB).T
    state = weight.quant_state
    absmax = state.absmax
    if state.nested:
        absmax = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    flat = _dequantize_4bit_compute(weight.data.flatten(), absmax, state.code, state.blocksize, state.shape, torch.float32)
    # On a CPU with AVX-512, bitsandbytes 0.50.2 takes wrong blocks where they cross rows. A GPU does not.
    if state.shape[1] % state.blocksize == 0:
        assert torch.equal(flat, functional.dequantize_4bit(weight.data, state))
    return flat.T


def make(out):
    expect = {"versions": VERSIONS, "sha256": {}}
    for seed, (name, (sizes, settings)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        GPT2LMHeadModel(GPT2Config(**SHAPE, **sizes)).save_pretrained(directory)
        model = GPT2LMHeadModel.from_pretrained(directory, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**settings))
        shutil.rmtree(directory)
        model.save_pretrained(directory)
        (directory / "generation_config.json").unlink()
        expect["sha256"][name] = {
            key.removeprefix("transformer."): sha256(dequantized(value))
            for key, value in model.named_parameters()
            if hasattr(value, "quant_state") or hasattr(value, "SCB")
        }
    (out / "expect.json").write_text(json.dumps(expect, indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
