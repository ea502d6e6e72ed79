"""Evaluation: how well a model finds held-out functions by their summaries, against BM25."""
