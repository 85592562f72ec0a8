"""Estimates: speeds of stages with equal cost, and their sums over a plan."""

from plan_tables import matrix, planned, row, table1

from harness.plan import Speed, estimate, measured_speeds, speed_key, unmeasured


def test_speeds_are_medians_by_device_and_kind_of_work() -> None:
    plan = planned(table1((0, 1)))
    first, second = (plan.stages[run.stages[0]] for run in plan.runs[:2])  # row 1 under seeds 0 and 1
    assert speed_key(first) == speed_key(second)
    other = plan.stages[plan.runs[-1].stages[0]]
    assert speed_key(other) != speed_key(first)
    assert first.amount == 400  # 4 epochs of 100 images
    results = [
        (first, {"device": "cpu", "seconds": 4.0}),
        (second, {"device": "cpu", "seconds": 2.0}),
        (first, {"device": "cuda", "seconds": 0.1}),
        (first, {"device": "cpu", "seconds": 0.0}),
        (first, {"seconds": 1.0}),
        (first, {"device": "cpu"}),
        (first, {"device": "cpu", "seconds": float("nan")}),
    ]
    assert measured_speeds(results) == {
        ("cpu", speed_key(first)): Speed(150.0),  # the median of 100 and 200
        ("cuda", speed_key(first)): Speed(4000.0),
    }


def test_costs_are_images_over_speed_and_unmeasured_stages_are_named() -> None:
    plan = planned(matrix((row("1", ("Softmax",)), row("2", ("Quadruplet",)))))
    stages = list(plan.stages.values())  # classify, its evaluation, metric, its evaluation
    # 400 images at 100/s = 4 s, 70 at 70/s = 1 s (for each evaluation), 600 at 50/s = 12 s: 18 s in total.
    speeds = {("cpu", speed_key(stages[0])): Speed(100.0), ("cpu", speed_key(stages[1])): Speed(70.0)}
    full = {**speeds, ("cpu", speed_key(stages[2])): Speed(50.0)}
    one, two = estimate(plan, full, "cpu"), estimate(plan, full, "cpu", slots=2)
    assert (one.device_seconds, one.wall_seconds, one.unknown) == (18.0, 18.0, ())
    assert two.wall_seconds == 13.0  # the longer chain, 12 + 1, not 18 / 2
    part = estimate(plan, speeds, "cpu")
    assert (part.device_seconds, part.unknown) == (6.0, (stages[2].fingerprint,))
    assert len(estimate(plan, full, "cuda").unknown) == 4


def test_probed_speeds_are_listed_with_the_fewest_steps_of_a_probe() -> None:
    plan = planned(matrix((row("1", ("Softmax",)), row("2", ("Quadruplet",)))))
    classify, evaluation, metric, other = plan.stages.values()
    speeds = {
        ("cpu", speed_key(classify)): Speed(100.0, probe_steps=12),
        ("cpu", speed_key(evaluation)): Speed(70.0, probe_steps=10),
        ("cpu", speed_key(metric)): Speed(50.0),
    }
    estimated = estimate(plan, speeds, "cpu")
    assert estimated.probed == (classify.fingerprint, evaluation.fingerprint, other.fingerprint)
    assert estimated.probe_steps == 10
    assert estimate(plan, {}, "cpu").probe_steps == 0


def test_one_stage_of_each_kind_represents_those_without_a_measured_speed() -> None:
    plan = planned(table1((0, 1)))
    lacking = unmeasured(plan, {}, "cpu")
    keys = [speed_key(stage) for stage in plan.stages.values()]
    assert [speed_key(stage) for stage in lacking] == list(dict.fromkeys(keys))  # each once, in the plan's order
    known = {("cpu", key): Speed(1.0) for key in keys[:3]}
    assert {speed_key(stage) for stage in unmeasured(plan, known, "cpu")} == set(keys) - set(keys[:3])
    assert unmeasured(plan, known, "cuda") == lacking
    done = planned(table1((0, 1)), frozenset(plan.stages))
    assert unmeasured(done, {}, "cpu") == ()
