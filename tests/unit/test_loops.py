"""Loop detectors: what loops is found by its fifth repeat, and thirty kinds of healthy work are left alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.costs.loops import WatchState, findings_of, observe, waste, waste_share
from models.costs.steps import Finding, FindingKind, Step

D = Decimal
SECOND = 1_000_000_000
CENT = D("0.01")


class Script:
    """A trace written as a sequence of turns; time moves by itself."""

    def __init__(self, agent: str = "fixer") -> None:
        self.agent = agent
        self.now = 1_760_000_000 * SECOND
        self.steps: list[Step] = []
        self.context = 1000

    def _add(self, operation: str, seconds: float, **facts: object) -> "Script":
        start = self.now
        self.now += int(seconds * SECOND)
        step = Step(
            trace_id=b"t" * 16,
            span_id=len(self.steps).to_bytes(8, "big"),
            start_ns=start,
            end_ns=self.now,
            operation=operation,
            agent=self.agent,
        )
        self.steps.append(replace(step, **facts))  # type: ignore[arg-type]
        return self

    def chat(self, grow: int = 500, **facts: object) -> "Script":
        self.context += grow
        told = {"model": "m", "input_tokens": self.context, "output_tokens": 50 + len(self.steps), "cost": CENT}
        return self._add("chat", 2, **{**told, **facts})

    def tool(self, name: str, arguments: str | None, result: str | None = None, **facts: object) -> "Script":
        return self._add("execute_tool", 1, tool=name, arguments_hash=arguments, result_hash=result, **facts)

    def wait(self, seconds: float) -> "Script":
        self.now += int(seconds * SECOND)
        return self


def kinds(steps: Sequence[Step]) -> set[str]:
    return {finding.kind.value for finding in findings_of(steps)}


# Loops -------------------------------------------------------------------------------------------------------------


def same_failing_command(times: int) -> Script:
    script = Script()
    for n in range(times):
        script.chat().tool("bash", "npm-install", f"log-{n}", failed=True)
    return script


def test_the_same_failing_command_is_found_at_the_fifth_time_and_not_at_the_fourth() -> None:
    assert kinds(same_failing_command(4).steps) == set()
    (found,) = findings_of(same_failing_command(5).steps)
    assert (found.kind, found.repeats, found.threshold) == (FindingKind.REPEATED_STEP, 5, 5)
    assert found.title == "agent fixer: the same step bash ×5, each time with an error"


def test_a_loop_names_its_money_since_it_began_and_the_waste_after_the_allowed_repeats() -> None:
    (found,) = findings_of(same_failing_command(30).steps)
    # The first repeat's own call came before the loop; 29 calls follow, 25 of them after the fifth repeat.
    assert found.repeats == 30
    assert found.cost == 29 * CENT
    assert found.waste == 25 * CENT
    assert waste_share([found], 50 * CENT) == D("0.5")
    # 30 tool runs of a second and 29 calls of two seconds: 88 seconds.
    assert found.cost_per_minute is not None
    assert round(found.cost_per_minute, 6) == D("0.197727")


def test_a_cycle_of_two_tools_is_found_after_three_periods() -> None:
    script = Script()
    for n in range(3):
        assert kinds(script.steps) == set(), f"found after {n} periods"
        script.chat().tool("search", "q", "r").chat().tool("open", "u", "p")
    (found,) = findings_of(script.steps)
    assert (found.kind, found.repeats, tuple(found.what)) == (FindingKind.CYCLE, 3, ("search", "open"))


def test_a_cycle_begins_anywhere_and_its_least_period_is_named() -> None:
    script = Script().tool("plan", "a").tool("read", "b")
    for _ in range(5):
        for name in ("read", "edit", "test"):
            script.tool(name, f"{name}-same", "same")
    (found,) = findings_of(script.steps)
    assert (sorted(found.what), found.repeats) == (["edit", "read", "test"], 5)


def test_six_failures_in_a_minute_are_a_retry_storm() -> None:
    script = Script()
    for _ in range(6):
        script.chat(grow=0, failed=True, input_tokens=None, output_tokens=None, cost=None)
    (found,) = findings_of(script.steps)
    assert (found.kind, found.repeats) == (FindingKind.RETRY_STORM, 6)


def test_the_same_request_again_and_again_is_a_retry_storm() -> None:
    script = Script()
    for _ in range(7):
        script.chat(grow=0, output_tokens=50)
    assert kinds(script.steps) == {"retry_storm"}


def test_a_growing_context_without_news_is_a_ratchet() -> None:
    script = Script().chat()
    for n in range(12):
        script.tool("grep", f"q{n}", "nothing found").chat()
    assert kinds(script.steps) == {"context_ratchet"}


def test_fifty_agents_at_once_are_a_fan_out_and_so_is_the_sixth_level() -> None:
    agents = [
        Step(
            trace_id=b"t" * 16,
            span_id=n.to_bytes(8, "big"),
            start_ns=n * SECOND,
            end_ns=(1000 + n) * SECOND,
            operation="invoke_agent",
            agent=f"worker-{n}",
            agent_path=f"root/worker-{n}",
        )
        for n in range(60)
    ]
    assert kinds(agents[:49]) == set()
    (found,) = findings_of(agents[:50])
    assert (found.kind, found.agent, found.repeats) == (FindingKind.FAN_OUT, "root", 50)
    deep = replace(agents[0], agent_path="/".join("r" * 6))
    assert kinds([deep]) == {"fan_out"}
    assert kinds([replace(deep, agent_path="/".join("r" * 5))]) == set()


def test_a_named_tool_without_told_arguments_is_judged_turn_by_turn() -> None:
    looping, mapping = Script(), Script().chat()
    for _ in range(5):
        looping.chat().tool("get_weather", None)
        mapping.tool("get_weather", None)
    (found,) = findings_of(looping.steps)
    assert found.arguments_known is False
    assert kinds(mapping.steps) == set()


# Look-alikes -------------------------------------------------------------------------------------------------------


def turns(*each: Callable[[Script, int], Script], times: int = 20) -> Script:
    script = Script()
    for n in range(times):
        for one in each:
            script = one(script, n)
    return script


def chat(script: Script, _: int) -> Script:
    return script.chat()


LOOK_ALIKES = {
    "polls-a-build-by-a-status-tool": turns(chat, lambda s, n: s.tool("get_build_status", "7", "running")),
    "polls-a-job-in-camel-case": turns(chat, lambda s, n: s.tool("getJobStatus", "7", "running")),
    "waits-for-a-deployment": turns(lambda s, n: s.tool("wait_for_deployment", "d", "not yet")),
    "sleeps-between-checks": turns(lambda s, n: s.tool("sleep", "30"), lambda s, n: s.tool("check_queue", "q", str(n))),
    "watches-a-log-that-grows": turns(chat, lambda s, n: s.tool("read_log", "f", f"line-{n}")),
    "polls-by-a-command-whose-output-changes": turns(chat, lambda s, n: s.tool("bash", "gh run view", f"{n} %")),
    "polls-by-a-command-without-told-arguments": turns(chat, lambda s, n: s.tool("bash", None)),
    "polls-with-rising-progress": turns(chat, lambda s, n: s.tool("train_model", "m", progress=float(n))),
    "reads-page-after-page": turns(chat, lambda s, n: s.tool("list_issues", f"page-{n}", f"issues-{n}")),
    "reads-pages-by-cursor-with-the-last-two-empty": turns(
        chat, lambda s, n: s.tool("query_rows", f"c{n}", "[]"), times=9
    ),
    "scrolls-a-document": turns(chat, lambda s, n: s.tool("scroll", "down", f"view-{n}")),
    "asks-for-the-next-page-without-told-arguments": turns(chat, lambda s, n: s.tool("next_page", None)),
    "backs-off-after-rate-limits": None,
    "backs-off-a-failing-tool": None,
    "retries-three-times-and-succeeds": None,
    "maps-a-tool-over-a-list": turns(lambda s, n: s.tool("summarise_file", f"file-{n}", f"s-{n}")),
    "maps-over-a-list-in-one-turn-without-told-arguments": turns(lambda s, n: s.tool("summarise_file", None)),
    "attaches-three-files": turns(lambda s, n: s.tool("attach_file", f"f{n}", "ok"), times=3),
    "writes-many-files-with-the-same-answer": turns(
        chat, lambda s, n: s.tool("write_file", f"f{n}", "written"), times=9
    ),
    "embeds-a-corpus-of-equal-chunks-in-parallel": None,
    "tests-and-fixes-with-fewer-failures-each-time": turns(
        chat,
        lambda s, n: s.tool("edit", f"patch-{n}", "ok"),
        chat,
        lambda s, n: s.tool("run_tests", "all", f"{20 - n} failed", failed=True),
    ),
    "tests-and-fixes-until-green": turns(
        lambda s, n: s.tool("edit", f"patch-{n}"), lambda s, n: s.tool("run_tests", "all", failed=n < 19)
    ),
    "lints-and-edits-one-file": turns(
        chat, lambda s, n: s.tool("edit", f"line-{n}", "ok"), lambda s, n: s.tool("lint", "f.py", f"{n}")
    ),
    "searches-with-other-words-each-time": turns(chat, lambda s, n: s.tool("web_search", f"q{n}", f"hits-{n}")),
    "searches-and-opens-other-pages": turns(
        chat, lambda s, n: s.tool("search", f"q{n}", f"h{n}"), chat, lambda s, n: s.tool("open", f"u{n}", f"p{n}")
    ),
    "talks-to-a-person-for-forty-turns": turns(chat, times=40),
    "writer-and-critic-take-turns": None,
    "codes-for-an-hour-without-told-arguments": turns(
        chat, lambda s, n: s.tool(("read", "edit", "bash", "grep")[n * 7 % 4], None), times=60
    ),
    "runs-agents-one-after-the-other": None,
    "calls-the-same-tool-four-times": turns(chat, lambda s, n: s.tool("get_weather", "lisbon", "sunny"), times=4),
    "reads-the-same-file-between-other-work": turns(
        chat, lambda s, n: s.tool("read", "main.py", f"v{n}"), lambda s, n: s.tool("edit", f"main.py-{n}", "ok")
    ),
    "fills-a-form-field-by-field": turns(chat, lambda s, n: s.tool("type_text", f"field-{n}", "ok"), times=9),
}


def rate_limited() -> Script:
    script = Script()
    for n in range(8):
        script.chat(grow=0, failed=True, input_tokens=None, output_tokens=None).wait(2**n)
    return script.chat()


def failing_tool_with_back_off() -> Script:
    script = Script()
    for n in range(8):
        script.tool("send_mail", "m", "timeout", failed=True).wait(2**n)
    return script


def three_retries() -> Script:
    script = Script()
    for _ in range(3):
        script.chat(failed=True).wait(1)
    return script.chat().tool("deploy", "d", "timeout", failed=True).tool("deploy", "d", "ok")


def parallel_embeddings() -> Script:
    script = Script()
    for _ in range(40):
        script.now = 1_760_000_000 * SECOND
        script.chat(grow=0, input_tokens=512, output_tokens=0)
    return script


def embeddings_one_after_the_other() -> Script:
    script = Script()
    for _ in range(40):
        script.chat(grow=0, input_tokens=512, output_tokens=0, cost=CENT)
    return script


def writer_and_critic() -> Script:
    script = Script()
    for n in range(20):
        script.agent = ("writer", "critic")[n % 2]
        script.chat()
    return script


def agents_in_sequence() -> Script:
    script = Script()
    for n in range(80):
        script._add("invoke_agent", 5, agent=f"w{n}", agent_path=f"root/w{n}")
    return script


LOOK_ALIKES |= {
    "backs-off-after-rate-limits": rate_limited(),
    "backs-off-a-failing-tool": failing_tool_with_back_off(),
    "retries-three-times-and-succeeds": three_retries(),
    "embeds-a-corpus-of-equal-chunks-in-parallel": parallel_embeddings(),
    "embeds-a-corpus-of-equal-chunks-one-by-one": embeddings_one_after_the_other(),
    "writer-and-critic-take-turns": writer_and_critic(),
    "runs-agents-one-after-the-other": agents_in_sequence(),
}


@pytest.mark.parametrize("name", sorted(LOOK_ALIKES))
def test_healthy_work_that_looks_like_a_loop_does_not_page(name: str) -> None:
    script = LOOK_ALIKES[name]
    assert script is not None
    assert [finding.title for finding in findings_of(script.steps)] == []


def test_there_are_at_least_thirty_look_alikes() -> None:
    assert len(LOOK_ALIKES) >= 30


# Laws --------------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("chat", "read", "edit", "get_weather")), st.sampled_from(("a", "b", None)), st.booleans()
    ),
    max_size=60,
)


def scripted(choices: list[tuple[str, str | None, bool]]) -> list[Step]:
    script = Script()
    for name, arguments, failed in choices:
        if name == "chat":
            script.chat(failed=failed)
        else:
            script.tool(name, arguments, failed=failed)
    return script.steps


@given(STEPS)
def test_waste_is_never_more_than_the_money_spent(choices: list[tuple[str, str | None, bool]]) -> None:
    steps = scripted(choices)
    assert 0 <= waste(findings_of(steps)) <= sum((step.cost or D(0) for step in steps), D(0))


@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(choices: list[tuple[str, str | None, bool]], random: object) -> None:
    steps = scripted(choices)
    shuffled = list(steps)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert findings_of(shuffled) == findings_of(steps)


def naive_cycle(steps: Sequence[Step]) -> bool:
    """Whether some tail of tool steps is three periods of two to eight steps, by looking at everything again."""
    tools = [step.signature for step in steps if step.is_tool]
    return any(
        len(tools) >= 3 * period
        and tools[-period:] == tools[-2 * period : -period] == tools[-3 * period : -2 * period]
        and not any(
            period % less == 0 and tools[-3 * period :] == (tools[-less:] * (3 * period // less))
            for less in range(1, period)
        )
        for period in range(2, 9)
    )


@given(st.lists(st.tuples(st.sampled_from(("x", "y", "z")), st.sampled_from(("a", "b"))), max_size=40))
def test_the_online_periods_are_those_of_looking_at_everything_again(choices: list[tuple[str, str]]) -> None:
    state, script = WatchState(), Script()
    for name, arguments in choices:
        script.tool(name, arguments)
        state, found = observe(state, script.steps[-1])
        cycles = [finding for finding in found if finding.kind is FindingKind.CYCLE]
        assert bool(cycles) == naive_cycle(script.steps)


def test_the_state_stays_the_same_size_however_long_the_session() -> None:
    def size(state: WatchState) -> int:
        agent = state.agents["fixer"]
        return len(agent.cycle.recent) + len(agent.retry.bad) + len(agent.retry.outcomes) + len(agent.ratchet.seen)

    state, sizes = WatchState(), list[int]()
    for n, step in enumerate(turns(chat, lambda s, n: s.tool("read", f"f{n}", f"r{n}"), times=500).steps):
        state, _ = observe(state, step)
        if n in (200, 999):
            sizes.append(size(state))
    assert sizes[0] == sizes[1] <= 64


def test_a_finding_never_carries_contents() -> None:
    (found,) = findings_of(same_failing_command(5).steps)
    text = f"{found.title} {found.what}"
    assert "npm" not in text
    assert isinstance(found, Finding)
