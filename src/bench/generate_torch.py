# Greedy generation with transformers and random weights, for prompts of equal length. The first line of standard input
# is the job, which is answered with the versions. Each further line runs a round and is answered with {"first", "time",
# "cpu"} in milliseconds: time to the first token of each prompt, time to all tokens, and CPU time of all tokens.
import json
import sys
import time

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

job = json.loads(sys.stdin.readline())
torch.manual_seed(1)
torch.set_num_threads(job["threads"])
if "model_type" in job:
    config = LlamaConfig(
        vocab_size=job["vocab_size"],
        max_position_embeddings=job["n_positions"],
        hidden_size=job["n_embd"],
        intermediate_size=job["n_inner"],
        num_hidden_layers=job["n_layer"],
        num_attention_heads=job["n_head"],
        num_key_value_heads=job["n_kv_head"],
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
else:
    sizes = {key: job[key] for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")}
    model = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
ids = torch.randint(job["vocab_size"] - 1, (job["prompts"], job["length"]))


@torch.no_grad()
def write(tokens):
    started, before = time.perf_counter(), time.process_time()
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        pad_token_id=50256,
    )
    assert out.shape[1] == job["length"] + tokens
    return 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - before)


write(job["tokens"])  # warm-up
print(json.dumps({"version": transformers.__version__, "torch": torch.__version__}), flush=True)
for _ in sys.stdin:
    first, _ = write(1)
    total, cpu = write(job["tokens"])
    print(json.dumps({"first": first, "time": total, "cpu": cpu}), flush=True)
