"""The proof of the verdict: how often it is wrong, and how many pairs it needs, beside the rules that others use.

Belongs here: simulated traffic for the error rates, seeded defects on the fake model server and on a real small
model, Diffy's rule and fixed thresholds on the same pairs, and the document and pictures that say what came out.
Every random number comes from a seed that the document names, so that a run can be repeated.

Does not belong here: anything that decides a live verdict; this package only calls it (`comparison`, `inference`, and
the reader of answers of `shadow`).
"""
