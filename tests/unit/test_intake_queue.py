"""The queue before the commit: nobody starves, nothing is lost, and memory is refused before it is used."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake_queue import Held, HeldBytes, IntakeQueue, QueueFull, Submission
from models.store.span_codec import PreparedSpans


def body(project_id: int, spans: int, number: int = 0) -> Submission:
    return Submission(PreparedSpans(project_id, count=spans), [], number)


def queue_of(*submissions: Submission) -> IntakeQueue:
    queue = IntakeQueue()
    for submission in submissions:
        queue.put(submission)
    return queue


def test_one_body_of_a_quiet_project_goes_along_with_the_next_commit_however_much_another_one_sent() -> None:
    queue = queue_of(*[body(1, 500) for _ in range(100)], body(2, 1))
    taken = queue.take(max_rows=1000)
    assert [submission.spans.project_id for submission in taken] == [1, 2, 1]


def test_projects_that_flood_share_a_commit_by_spans_not_by_bodies() -> None:
    queue = queue_of(*[body(1, 500) for _ in range(20)], *[body(2, 50) for _ in range(200)])
    spans = {1: 0, 2: 0}
    for submission in queue.take(max_rows=4000):
        spans[submission.spans.project_id] += submission.spans.count
    assert abs(spans[1] - spans[2]) <= 500


def test_where_a_commit_has_no_room_for_all_those_left_out_come_first_the_next_time() -> None:
    queue = queue_of(*[body(project, 1000) for project in range(1, 6) for _ in range(2)])
    rounds = [{submission.spans.project_id for submission in queue.take(max_rows=2000)} for _ in range(5)]
    assert rounds == [{1, 2}, {3, 4}, {5, 1}, {2, 3}, {4, 5}]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 20))), st.integers(1, 30))
def test_everything_is_taken_once_and_in_order_within_its_project(sent: list[tuple[int, int]], max_rows: int) -> None:
    queue = queue_of(*[body(project, spans, number) for number, (project, spans) in enumerate(sent)])
    taken: list[Submission] = []
    while queue:
        taken += queue.take(max_rows)
    by_project = {project: [s.digest for s in taken if s.spans.project_id == project] for project, _ in sent}
    expected = sorted((project, number) for number, (project, _) in enumerate(sent))
    assert by_project == {
        project: [number for _, number in numbers] for project, numbers in groupby(expected, key=lambda pair: pair[0])
    }


def held(pool: HeldBytes, project_id: int, size: int) -> Held:
    made = Held(pool, project_id)
    made.resize(size)
    return made


def test_a_project_that_fills_the_queue_leaves_room_for_another_one() -> None:
    pool = HeldBytes(900)
    flood = [held(pool, 1, 100) for _ in range(8)]
    with pytest.raises(QueueFull, match="800 bytes wait to be stored, of 900 that may"):
        held(pool, 1, 100)
    quiet = held(pool, 2, 80)
    assert pool.total == 880
    for each in (*flood, quiet):
        each.resize(0)
    assert pool.total == 0


def test_a_body_above_the_limit_is_taken_when_nothing_else_waits() -> None:
    pool = HeldBytes(100)
    with held(pool, 1, 500) as large:
        with pytest.raises(QueueFull):
            held(pool, 2, 1)
        large.resize(40)
        held(pool, 2, 10).resize(0)
    assert pool.total == 0


def test_what_is_refused_leaves_what_was_counted() -> None:
    pool = HeldBytes(1000)
    first, second = held(pool, 1, 100), held(pool, 2, 100)
    with pytest.raises(QueueFull):
        second.resize(2000)
    assert (second.size, pool.total) == (100, 200)
    first.resize(0)
    second.resize(2000)
    assert pool.total == 2000
