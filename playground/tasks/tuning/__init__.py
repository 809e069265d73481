"""Few-shot tuning of a prompt: draws of rows, several seeds, what they gave on rows held out."""
