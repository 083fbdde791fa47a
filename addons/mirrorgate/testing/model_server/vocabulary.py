"""The words of the fake model: enough for sentences that differ, with a few that are not ASCII."""

from __future__ import annotations

__all__ = ["SENTENCE", "SLOTS", "TEMPLATE_MARKERS"]

SLOTS: dict[str, tuple[str, ...]] = {
    "opening": ("The", "A", "Every", "One", "This", "Another", "Each", "Some"),
    "adjective": tuple(
        "small bright quiet warm distant gentle curious ancient clever silver patient narrow hollow golden sudden "
        "naïve steady broken silent wooden simple heavy lively café-side".split()
    ),
    "noun": tuple(
        "gateway river model garden window signal engine harbour library mountain station answer token mirror bridge "
        "lantern forest market question island letter machine orchard planet 東京 traveller village winter".split()
    ),
    "verb": tuple(
        "carries follows answers measures watches opens keeps remembers finds crosses gathers counts "
        "explains holds mirrors reaches balances completes".split()
    ),
    "article": ("the", "a", "another", "every", "its", "that"),
    "preposition": ("beside", "under", "before", "across", "behind", "towards", "without", "near", "through"),
    "ending": (".", ".", ".", ".", ".", "!", "…", " 🙂."),
}

SENTENCE = ("opening", "adjective", "noun", "verb", "article", "noun", "preposition", "article", "noun", "ending")
"""The slots of a sentence. Each word is one token, with its leading space."""

TEMPLATE_MARKERS = ("<|im_start|>", "assistant", "\n")
"""What comes out when a chat template is wrong."""
