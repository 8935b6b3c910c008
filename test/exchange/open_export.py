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
    return classify([text])[0]


def classify(texts):
    """Logits as the code makes them of its batch, between that line and the first that prints."""
    columns = [texts] if isinstance(texts[0], str) else zip(*texts)
    padding = "padding=True" in job["code"]
    scope["batch"] = tokenizer(*(list(column) for column in columns), padding=padding, truncation=True,
                               max_length=job["length"], return_tensors="pt")
    exec(job["code"].split("\nbatch = ")[1].split("\n", 1)[1].split("\nprint(")[0], scope)
    return scope["logits"].tolist()


with torch.no_grad():
    values = [measure(text) for text in job["texts"]]
    if "padding=True" in job["code"]:
        assert torch.allclose(torch.tensor(classify(job["texts"])), torch.tensor(values), 1e-4, 1e-4), "in a batch"
labels = [] if "begin" in job else list(model.config.id2label.values())
if job["pipeline"]:
    pipeline = transformers.pipeline("text-classification", model=".", top_k=None, function_to_apply="none")
    rows = [{one["label"]: one["score"] for one in row} for row in pipeline(job["texts"], truncation=True)]
    assert torch.allclose(torch.tensor([[row[label] for label in labels] for row in rows]), torch.tensor(values), 1e-4, 1e-4)
print(json.dumps({"version": transformers.__version__, "labels": labels, "values": values}))
