"""Coverage-guided fuzzing of everything that reads bytes of strangers: `targets` names them, `__main__` drives atheris.

What the fuzzer finds is kept, small, in `tests/fuzz/corpus`, and each file there is a plain test.
"""
