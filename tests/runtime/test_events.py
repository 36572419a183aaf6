from __future__ import annotations

from sampan.api.types import core_v1
from sampan.runtime.events import BURST, REFILL, SIMILAR, Correlator, Note
from sampan.runtime.metrics import Sample, expose

POD = core_v1.ObjectReference(kind="Pod", namespace="default", name="a", uid="1")


def note(message: str = "pulled", at: float = 0.0, reason: str = "Pulled", name: str = "a") -> Note:
    about = core_v1.ObjectReference(kind="Pod", namespace="default", name=name, uid=name)
    return Note(about, "Normal", reason, message, at)


def test_few_events_pass_as_they_are() -> None:
    correlator = Correlator()
    for number in range(SIMILAR - 1):
        assert correlator.judge(note(f"message {number}")) == note(f"message {number}")


def test_many_similar_ones_are_combined() -> None:
    correlator = Correlator()
    judged = [correlator.judge(note(f"message {number}", at=float(number))) for number in range(SIMILAR)]
    assert judged[-1] is not None
    assert judged[-1].message == f"(combined from similar events): message {SIMILAR - 1}"


def test_the_same_message_is_not_similar_but_the_same() -> None:
    correlator = Correlator()
    assert all(correlator.judge(note()) == note() for _ in range(BURST))


def test_floods_are_cut_for_each_object_by_itself() -> None:
    correlator = Correlator()
    judged = [correlator.judge(note()) for _ in range(BURST + 5)]
    assert judged.count(None) == 5
    assert correlator.judge(note(name="b")) is not None
    assert correlator.judge(note(at=REFILL)) is not None
    assert correlator.judge(note(at=REFILL)) is None


def test_similar_ones_long_after_are_told_apart_again() -> None:
    correlator = Correlator()
    for number in range(SIMILAR):
        correlator.judge(note(f"message {number}"))
    later = correlator.judge(note("fresh", at=3600.0))
    assert later is not None and later.message == "fresh"


def test_metrics_stand_together_by_name() -> None:
    samples = [
        Sample("b_total", "counter", "Bs.", {"of": 'say "x"\n'}, 2),
        Sample("a", "gauge", "As.", {}, 0.5),
        Sample("b_total", "counter", "Bs.", {"of": "y"}, 1_234_567),
    ]
    assert expose(samples) == (
        "# HELP a As.\n# TYPE a gauge\na 0.5\n"
        '# HELP b_total Bs.\n# TYPE b_total counter\nb_total{of="say \\"x\\"\\n"} 2\nb_total{of="y"} 1234567\n'
    )
    assert expose([]) == ""
