"""Pretraining a BERT from scratch: corpora, WordPieces, blocks, masking, the loop, and what it leaves."""
