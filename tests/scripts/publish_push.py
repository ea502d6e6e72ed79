"""A user's script with the package installed: `publish_push.py FOLDER`, to the Hub of HF_ENDPOINT.

Publishes the folder with the command, then pushes what transformers and sentence-transformers make of it.
"""

import sys

import open_codesage.modeling  # noqa: F401 (registers the classes)
from open_codesage.train import cli
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

folder = sys.argv[1]
if status := cli.main(["publish", folder, "user/published"]):
    sys.exit(status)
tokenizer = AutoTokenizer.from_pretrained(folder)
for repo, auto_class in (("user/auto", AutoModel), ("user/masked", AutoModelForMaskedLM)):
    model = auto_class.from_pretrained(folder)
    assert type(model).__module__ == "open_codesage.modeling.modeling_codesage"
    model.push_to_hub(repo)
    tokenizer.push_to_hub(repo)
SentenceTransformer(folder, device="cpu").push_to_hub("user/sentence")
