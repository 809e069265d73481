"""Hugging Face Spaces starts here; on your own machine, `make run` or `python -m playground run`."""

from playground.app import launch

if __name__ == "__main__":
    launch()
