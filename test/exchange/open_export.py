# Opens an export by the code of its README, without the network. The argument is the job in JSON. Prints a line of JSON:
# {"version": of transformers, "labels": [...], "values": [[...] for each text]}: logits, or a language model's loss.
import contextlib
import json
import os
import sys

import torch
import transformers

os.environ["HF_HUB_OFFLINE"] = "1"
job = json.loads(sys.argv[1])
os.chdir(job["directory"])
scope = {}
with contextlib.redirect_stdout(sys.stderr):
    exec(job["code"], scope)
tokenizer, model = scope["tokenizer"], scope["model"].eval()


def measure(text):
    if "begin" in job:
        ids = torch.tensor([[job["begin"], *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        targets = ids[0, 1:]
        logits = model(input_ids=ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1])).logits[0]
        # A prompt's virtual tokens come first.
        return [torch.nn.functional.cross_entropy(logits[-len(targets) :], targets).item()]
    parts = [text] if isinstance(text, str) else text
    batch = tokenizer(*([part] for part in parts), truncation=True, max_length=job["length"], return_tensors="pt")
    # As the code makes logits of its batch, between that line and the first that prints.
    scope["batch"] = batch
    exec(job["code"].split("\nbatch = ")[1].split("\n", 1)[1].split("\nprint(")[0], scope)
    return scope["logits"][0].tolist()


with torch.no_grad():
    values = [measure(text) for text in job["texts"]]
labels = [] if "begin" in job else list(model.config.id2label.values())
print(json.dumps({"version": transformers.__version__, "labels": labels, "values": values}))
