"""Package metadata of open-codesage.

The source folders stand at the top of the repository; here they become the namespace package `open_codesage`.
"""

from pathlib import Path

from setuptools import find_packages, setup

SOURCES = ("modeling", "tokenization", "train")

packages = [
    f"open_codesage.{name}"
    for source in SOURCES
    for name in (source, *(f"{source}.{p}" for p in find_packages(source)))
]

EXTRAS = {
    "corpus": ["datasketch>=2.0", "matplotlib>=3.8"],
    "onnx": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"],
    # Without datatrove's own extras: its "processing" wants xxhash<4, datasets installs a later one.
    "scale": ["datatrove>=0.10"],
    "mteb": ["mteb>=2.26"],
    "mcp": ["mcp>=2.0,<3"],
    "docs": ["mkdocs>=1.6", "mkdocstrings[python]>=1.0"],
}
TOOLS = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "ruff>=0.14",
    "mypy>=1.18",
    "types-PyYAML",
    "import-linter>=2.17",
    "model2vec>=0.10",
]
EXTRAS["dev"] = TOOLS + [requirement for extra in EXTRAS.values() for requirement in extra]

setup(
    name="open-codesage",
    version="0.2.0",
    description="Open, complete implementation of CodeSage: train, evaluate, release and use code encoders",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[*packages, "open_codesage.model_cards"],
    package_dir={f"open_codesage.{source}": source for source in (*SOURCES, "model_cards")},
    package_data={
        "open_codesage.modeling": ["py.typed"],
        "open_codesage.tokenization": ["py.typed", "queries/*/*.scm", "queries/*/*.txt"],
        "open_codesage.train": ["py.typed", "recipes/*.yaml", "recipes/*/*", "evaluation/ablation/*.yaml"],
        "open_codesage.model_cards": ["*.md", "*/*", "*/*/*"],
    },
    # The package brings one model, the one that `search` uses; the other lies in a clone and on the Hub.
    exclude_package_data={"open_codesage.model_cards": ["open-codesage-mini/*", "open-codesage-mini/*/*"]},
    include_package_data=False,
    install_requires=[
        "torch>=2.11",
        "transformers>=5.17,<6",
        "sentence-transformers>=6.0.1,<7",
        "accelerate>=1.10",
        "datasets>=5.0",
        "huggingface-hub>=1.33",
        "safetensors>=0.6",
        "peft>=0.19",
        "tokenizers>=0.23.1",
        "numpy>=2.0",
        "pyyaml>=6.0",
        "tqdm>=4.66",
        "pygments>=2.17",
        "filelock>=3.12",
        "ftfy>=6.1",
        "bm25s>=0.2.10",
        "ir-measures>=0.4",
        "scikit-learn>=1.5",
        "tree-sitter>=0.25,<0.27",
        "tree-sitter-c>=0.24",
        "tree-sitter-c-sharp>=0.23",
        "tree-sitter-cpp>=0.23",
        "tree-sitter-go>=0.25",
        "tree-sitter-java>=0.23",
        "tree-sitter-javascript>=0.25",
        "tree-sitter-php>=0.25",
        "tree-sitter-python>=0.25",
        "tree-sitter-ruby>=0.23",
        "tree-sitter-typescript>=0.23",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["open-codesage = open_codesage.train.cli:main"]},
)
