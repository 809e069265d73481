"""One module a tab, and what Classify is made of."""
