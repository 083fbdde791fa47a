import pytest

from mirrorgate.inference.completions import Broken, Choice, Completion, Shape


@pytest.mark.parametrize(
    ("completion", "ok"),
    [
        (Completion(200, Shape.COMPLETION), True),
        (Completion(304, Shape.EMPTY), True),
        (Completion(500, Shape.JSON), False),
        (Completion(0, Shape.EMPTY), False),
        (Completion(200, Shape.ERROR), False),
        (Completion(200, Shape.COMPLETION, broken=Broken.CUT), False),
    ],
)
def test_ok_is_an_answer_that_a_client_can_use(completion: Completion, ok: bool) -> None:
    """The status alone does not say it."""
    assert completion.ok is ok
    assert completion.complete is (completion.broken is Broken.NO)


def test_text_is_that_of_the_first_choice() -> None:
    """Without a choice there is none."""
    answer = Completion(200, Shape.COMPLETION, choices=(Choice(0, "a", finish_reason="stop"), Choice(1, "b")))
    assert (answer.text, answer.finish_reason) == ("a", "stop")
    assert (Completion(0, Shape.EMPTY).text, Completion(0, Shape.EMPTY).finish_reason) == ("", None)
