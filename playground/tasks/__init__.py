"""What is done with a prompt and a model: scoring tables. Nothing here imports Gradio."""
