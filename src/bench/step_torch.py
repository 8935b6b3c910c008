# Training steps of GPT-2, or of a Llama-type model, with LoRA in PyTorch, on rows padded to one length. The first line of standard input is the
# job, which is answered with versions, threads and the device: with "gpu" a graphics card if PyTorch has one. Each further line runs a step and is answered with {"time": ms,
# "cpu": ms, "peak": bytes}.
import json
import math
import re
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

job = json.loads(sys.stdin.readline())
C, HEADS, LAYERS = job["n_embd"], job["n_head"], job["n_layer"]
IS_LLAMA = "model_type" in job
torch.manual_seed(1)


def find_device():
    """The device, its name, and what waits for its work."""
    if job["gpu"] and torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name(), torch.cuda.synchronize
    if job["gpu"] and torch.backends.mps.is_available():
        return "mps", "MPS", torch.mps.synchronize
    return "cpu", "CPU", lambda: None


DEVICE, DEVICE_NAME, wait = find_device()


class LoraLinear(nn.Module):
    """y = x W [+ b] + scale * (x A^T) B^T for each adapter; each adapter covers its own columns of y."""

    def __init__(self, inputs, outputs, adapters, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.02)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        width = outputs // adapters if adapters else 0
        bound = 1 / math.sqrt(inputs)
        self.A = nn.ParameterList(
            [nn.Parameter(torch.empty(job["r"], inputs).uniform_(-bound, bound)) for _ in range(adapters)]
        )
        self.B = nn.ParameterList([nn.Parameter(torch.zeros(width, job["r"])) for _ in range(adapters)])

    def forward(self, x):
        flat = x.view(-1, x.size(-1))
        y = flat @ self.weight if self.bias is None else torch.addmm(self.bias, flat, self.weight)
        y = y.view(*x.shape[:-1], -1)
        if len(self.A) == 0:
            return y
        scale = job["alpha"] / job["r"]
        return y + scale * torch.cat([F.linear(F.linear(x, a), b) for a, b in zip(self.A, self.B)], -1)


class Block(nn.Module):
    def __init__(self, lora):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.qkv = LoraLinear(C, 3 * C, 3 * lora)
        self.out = LoraLinear(C, C, lora)
        self.fc, self.proj = LoraLinear(C, 4 * C, lora), LoraLinear(4 * C, C, lora)

    def forward(self, x):
        rows, length, _ = x.shape
        parts = self.qkv(self.ln_1(x)).split(C, -1)
        q, k, v = (part.view(rows, length, HEADS, C // HEADS).transpose(1, 2) for part in parts)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(heads.transpose(1, 2).reshape(rows, length, C))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class LlamaBlock(nn.Module):
    """As in transformers, every matrix is one of its own."""

    def __init__(self, lora):
        super().__init__()
        eps, inner = job["layer_norm_epsilon"], job["n_inner"]
        self.size, self.kv = C // HEADS, job.get("n_kv_head", HEADS)
        self.ln_1, self.ln_2 = nn.RMSNorm(C, eps), nn.RMSNorm(C, eps)
        linear = lambda inputs, outputs: LoraLinear(inputs, outputs, lora, bias=False)
        self.q, self.k, self.v = linear(C, C), linear(C, self.kv * self.size), linear(C, self.kv * self.size)
        self.out = linear(C, C)
        self.gate, self.up, self.down = linear(C, inner), linear(C, inner), linear(inner, C)
        frequencies = job["rope"]["theta"] ** (-torch.arange(0, self.size, 2) / self.size)
        angles = torch.outer(torch.arange(job["length"]), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x):
        half = self.size // 2
        return x * self.cos + torch.cat((-x[..., half:], x[..., :half]), -1) * self.sin

    def forward(self, x):
        rows, length, _ = x.shape
        h = self.ln_1(x)
        q, k, v = (
            part(h).view(rows, length, count, self.size).transpose(1, 2)
            for part, count in ((self.q, HEADS), (self.k, self.kv), (self.v, self.kv))
        )
        heads = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True, enable_gqa=True)
        x = x + self.out(heads.transpose(1, 2).reshape(rows, length, C))
        h = self.ln_2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        lora = int(job["mode"] == "lora")
        self.wte = nn.Embedding(job["vocab_size"], C)
        self.wpe = None if IS_LLAMA else nn.Embedding(job["n_positions"], C)
        self.blocks = nn.ModuleList([LlamaBlock(lora) if IS_LLAMA else Block(lora) for _ in range(LAYERS)])
        self.ln_f = nn.RMSNorm(C, job["layer_norm_epsilon"]) if IS_LLAMA else nn.LayerNorm(C)
        self.head = LoraLinear(C, 2, lora)

    def forward(self, ids):
        x = self.wte(ids)
        if self.wpe:
            x = x + self.wpe(torch.arange(ids.size(1), device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x)[:, -1])


model = Model().to(DEVICE)
last = f"blocks.{LAYERS - 1}."
is_trained = {
    "lora": lambda name: ".A." in name or ".B." in name or name.startswith("head."),
    "all": lambda name: True,
    "last_block": lambda name: name.startswith((last, "head.")),
    "last_layer": lambda name: name.startswith("head."),
}[job["mode"]]
for name, parameter in model.named_parameters():
    parameter.requires_grad_(is_trained(name))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-5, weight_decay=0.1)


def step():
    ids = torch.randint(job["vocab_size"], (job["rows"], job["length"]), device=DEVICE)
    labels = torch.randint(2, (job["rows"],), device=DEVICE)
    wait()
    started, busy = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    F.cross_entropy(model(ids), labels).backward()
    optimizer.step()
    wait()
    return {"time": 1000 * (time.perf_counter() - started), "cpu": 1000 * (time.process_time() - busy)}


def blas():
    """The BLAS library: the one that PyTorch was built with, or, for a generic build, the one that is loaded."""
    built = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    if built and built[1] != "generic":
        return built[1]
    try:
        with open("/proc/self/maps") as maps:
            loaded = re.search(r"lib(openblas|blis|mkl|atlas)", maps.read())
    except OSError:
        loaded = None
    return loaded[1] if loaded else "unknown BLAS"


step()  # warm-up
about = {"version": torch.__version__, "device": DEVICE_NAME, "blas": blas(), "threads": torch.get_num_threads()}
print(json.dumps(about), flush=True)
for _ in sys.stdin:
    times = step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({**times, "peak": peak}), flush=True)
