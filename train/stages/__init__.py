"""The trainings: tokenizer, Stage I, Stage II, fine-tuning, and the consistency filter between them."""
