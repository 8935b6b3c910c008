"""Reads the model cards of exports with huggingface_hub. Arguments: their folders. Prints a line of JSON each."""
import json
import os
import sys

from huggingface_hub import ModelCard

for folder in sys.argv[1:]:
    card = ModelCard.load(os.path.join(folder, "README.md"), ignore_metadata_errors=False)
    results = card.data.eval_results or []
    # What the hub stores is what the card says.
    again = ModelCard(f"---\n{card.data.to_yaml()}\n---\n{card.text}")
    print(
        json.dumps(
            {
                "license": card.data.license,
                "library": card.data.library_name,
                "metrics": [[one.metric_type, one.metric_value, one.metric_args] for one in results],
                "same": again.data.to_dict() == card.data.to_dict(),
            }
        )
    )
