"""Evaluation: search and classification tasks by the paper's protocols, results, reports and ablations."""
