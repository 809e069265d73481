"""Tuning a prompt on a few labelled rows: a small delta on a frozen base, which is never touched."""
