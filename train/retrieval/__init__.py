"""Search as a measurement: embed, rank, BM25, and what a search task is."""
