"""What goes on inside one prediction: from layer to layer, and where each attention head looks."""

from __future__ import annotations

from playground.engine.encoding import Encoded
from playground.engine.explained import layer_view
from playground.engine.label_words import Vocabulary
from playground.engine.lens import Lens
from playground.engine.results import AttentionMap, LayerView
from playground.engine.runner import Runner
from playground.errors import PlaygroundError


class InsideCalls:
    """The calls that look inside the model; Prompting has them."""

    vocabulary: Vocabulary
    runner: Runner
    _lens: Lens

    def _free_text(self, text: str, *, masked: bool = True) -> Encoded:
        """Return a text as the model reads it, with masks or, unless ``masked``, perhaps without."""
        raise NotImplementedError

    def layers(self, text: str, *, top_k: int = 5) -> LayerView:
        """Return what the head would predict at the one mask of ``text`` from each layer's state.

        The last row is what :meth:`fill` gives. The "logit lens" (nostalgebraist 2020): the head was
        trained on the last layer alone, so early rows show what is already in reach of it, not all
        that a layer knows (Belrose et al. 2023). Raises PlaygroundError for a text without exactly one
        mask, one of more than ``max_lens_tokens``, and a model whose layers cannot be read.
        """
        if top_k < 1:
            raise PlaygroundError(f"top_k is {top_k}; ask for at least 1 prediction.")
        encoded = self._free_text(text)
        if (many := len(encoded.mask_positions)) != 1:
            raise PlaygroundError(
                f"The text has {many} masks and the layers are read at one; write {{mask}} once."
            )
        logits = self._lens.logits(encoded).clone()  # (L + 1, V)
        logits[-1] = self.runner.logits([encoded])[0][0]  # packed sums differ in the last bits
        return layer_view(self.vocabulary, logits, top_k, tokens=len(encoded))

    def attention(self, text: str) -> AttentionMap:
        """Return the attention weights of every layer and head over the tokens of ``text``.

        The text may hold masks. Raises PlaygroundError for one of more than ``max_lens_tokens``, and
        for a model without such weights. They show where information may flow from, not why a word
        was predicted (Jain and Wallace 2019).
        """
        encoded = self._free_text(text, masked=False)
        return AttentionMap(
            tokens=tuple(map(self.vocabulary.readable, encoded.ids)),
            weights=self._lens.attention(encoded).numpy(),
            mask_positions=encoded.mask_positions,
        )
