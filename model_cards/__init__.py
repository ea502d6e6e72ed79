"""The template of the model card, and the Hub folders of our own releases."""
