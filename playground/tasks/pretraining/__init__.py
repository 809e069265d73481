"""Pretraining a masked LM from texts: corpora, vocabulary, training, and its time-lapse."""
