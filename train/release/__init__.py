"""Release: the Hub folder of a trained encoder, its check and its model card."""
