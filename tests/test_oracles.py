"""The NumPy oracles against the values recorded from the two original systems."""

from typing import Dict, Tuple

import numpy as np
import pytest
from oracles import goldens, kernels, model, optimizers, reverse, scopes, training

# The gradient of these is mathematically 0, so what was recorded of them is rounding noise.
UNDETERMINED = "key/bias"


@pytest.fixture(scope="module", params=goldens.LAYOUTS)
def layout(request) -> str:
    """Each of the two layouts."""
    return request.param


@pytest.fixture(scope="module")
def golden(layout) -> goldens.Golden:
    """What was recorded of the layout."""
    return goldens.load(layout)


def test_forward_equals_the_original(golden):
    outputs = model.forward(golden.config, golden.parameters, golden.batch)
    assert sorted(outputs) == sorted(golden.forward)
    for name, expected in golden.forward.items():
        assert outputs[name].shape == expected.shape, name
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-5, err_msg=name)
    # Without 1e-5 in its denominator, the masked-LM loss would be off by 2.5e-6.
    loss = outputs["masked_lm_loss"]
    np.testing.assert_allclose(loss, golden.forward["masked_lm_loss"], rtol=0, atol=1e-6)


def test_gradients_equal_the_original(golden):
    gradients = training.gradients(golden.config, golden.parameters, golden.batch)
    assert sorted(gradients) == sorted(golden.gradients)
    for name, expected in golden.gradients.items():
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-4, atol=2e-7, err_msg=name)


def test_gradients_equal_central_differences(golden):
    gradients = training.gradients(golden.config, golden.parameters, golden.batch)
    rng = np.random.RandomState(0)
    step = 1e-5
    for name, gradient in gradients.items():
        largest = [np.argmax(np.abs(gradient))]
        for index in np.append(largest, rng.choice(gradient.size, min(3, gradient.size), False)):
            losses = []
            for sign in (1.0, -1.0):
                moved = dict(golden.parameters)
                moved[name] = golden.parameters[name].astype(np.float64)
                moved[name].reshape(-1)[index] += sign * step
                losses.append(training.total_loss(golden.config, moved, golden.batch))
            measured = (losses[0] - losses[1]) / (2 * step)
            np.testing.assert_allclose(
                [measured, golden.gradients[name].reshape(-1)[index]],
                gradient.reshape(-1)[index],
                rtol=1e-4,
                atol=1e-7,
                err_msg=name,
            )


def _updated(
    layout: str, golden: goldens.Golden, rule: str, exact: bool, steps: int
) -> Dict[str, np.ndarray]:
    """`step_K/<variable>` and `losses`; the first gradient is the recorded one unless `exact`."""
    options = {"adapt_excluded": layout == "brightmart"} if rule == "lamb" else {}
    parameters = {name: value.astype(np.float64) for name, value in golden.parameters.items()}
    state = optimizers.init(parameters)
    result, losses = {}, []
    for step in range(1, steps + 1):
        losses.append(training.total_loss(golden.config, parameters, golden.batch))
        gradients = golden.gradients
        if exact:
            gradients = training.gradients(golden.config, parameters, golden.batch)
        norm = training.recorded_norm(golden.config, parameters, golden.batch)
        rate = golden.optimizer["learning_rate"]
        parameters, state = getattr(optimizers, rule)(
            gradients, state, parameters, rate, norm=norm, **options
        )
        result.update({f"step_{step}/{name}": value for name, value in parameters.items()})
    return dict(result, losses=np.stack(losses))


def _assert_step(actual: Dict[str, np.ndarray], layout: str, rule: str, step: int, atol: float):
    expected = goldens.load_steps(layout, rule)
    names = [name for name in expected if name.startswith(f"step_{step}/")]
    assert names
    for name in names:
        if rule == "lamb" and name.endswith(UNDETERMINED):
            continue
        np.testing.assert_allclose(
            goldens.sample(actual[name]), expected[name], rtol=0, atol=atol, err_msg=name
        )


@pytest.mark.parametrize("rule", goldens.OPTIMIZERS)
def test_first_update_equals_the_original(layout, golden, rule):
    actual = _updated(layout, golden, rule, exact=False, steps=1)
    _assert_step(actual, layout, rule, 1, atol=1.5e-7)  # LAMB without decay is off by 2.6e-7.


# At this rate AdamW amplifies the float32 rounding of the recorded run.
SIX_UPDATES = {"lamb": (1e-6, 1e-6, 1e-6), "adamw": (3e-6, 5e-6, 5e-5)}


@pytest.mark.parametrize("rule", goldens.OPTIMIZERS)
def test_six_updates_equal_the_original(layout, golden, rule):
    actual = _updated(layout, golden, rule, exact=True, steps=6)
    losses = goldens.load_steps(layout, rule)["losses"]
    np.testing.assert_allclose(actual["losses"], losses, rtol=0, atol=2e-5)
    for step, atol in zip(goldens.STEPS, SIX_UPDATES[rule]):
        _assert_step(actual, layout, rule, step, atol)


def test_recorded_google_norm_counts_every_token_type_row():
    golden = goldens.load("google")
    arguments = golden.config, golden.parameters, golden.batch
    true_norm = optimizers.global_norm(training.gradients(*arguments))
    np.testing.assert_allclose(true_norm, 2.18923, atol=1e-5)
    np.testing.assert_allclose(training.recorded_norm(*arguments), 2.20677, atol=1e-5)


@pytest.mark.parametrize("ln_type", ["preln", "postln"])
@pytest.mark.parametrize("shared_type", ["all", "attention", "ffn", "none"])
def test_brightmart_variants_with_equal_weights_agree(ln_type, shared_type):
    golden = goldens.load("brightmart")
    config = dict(golden.config, ln_type=ln_type, shared_type=shared_type)
    shared = scopes.brightmart_scopes(dict(config, shared_type="all"))
    copies = dict(golden.parameters)
    for source, target in zip(shared, scopes.brightmart_scopes(config)):
        copies.update(_copied(golden.parameters, source, target))
    outputs = model.forward(config, copies, golden.batch)["sequence_output"]
    expected = model.forward(dict(config, shared_type="all"), golden.parameters, golden.batch)[
        "sequence_output"
    ]
    np.testing.assert_array_equal(outputs, expected)
    recorded = golden.forward["sequence_output"]
    assert (np.abs(outputs - recorded).max() < 1e-5) == (ln_type == "preln")


def test_google_inner_groups_and_groups_follow_the_layers():
    sizes = {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2}
    prefixes = [scope.attention_norm.split("/")[3:5] for scope in scopes.google_scopes(sizes)]
    inner = [["inner_group_0"], ["inner_group_1"]]
    groups = ["group_0", "group_0", "group_1", "group_1"]
    assert prefixes == [[group] + each for group in groups for each in inner]


def _copied(
    parameters: Dict[str, np.ndarray], source: Tuple[str, ...], target: Tuple[str, ...]
) -> Dict[str, np.ndarray]:
    """The parameters of the `source` scopes under the names of the `target` scopes."""
    return {
        new + name[len(old) :]: value
        for old, new in zip(source, target)
        for name, value in parameters.items()
        if name.startswith(old + "/")
    }


def test_sentences_without_label_weigh_nothing():
    logits = np.array([[1.0, 2.0], [5.0, 3.0], [0.5, 0.25]])
    total, weight = kernels.sentence_cross_entropy(logits, np.array([[1], [-1], [0]]))
    kept, two = kernels.sentence_cross_entropy(logits[[0, 2]], np.array([1, 0]))
    assert (weight, two) == (2.0, 2.0)
    np.testing.assert_allclose(total, kept)


def test_schedule_table():
    rates = [optimizers.polynomial_schedule(step, 1.0, 10, 4) for step in range(12)]
    expected = [0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    np.testing.assert_allclose(rates, expected, atol=1e-15)
    assert optimizers.polynomial_schedule(3, 2.0, 10, 4, start_warmup_step=2) == 0.5
    np.testing.assert_allclose(optimizers.polynomial_schedule(5, 2.0, 10, 4, power=2.0), 0.5)


def test_bias_correction_makes_the_first_direction_a_sign():
    parameters = {"kernel": np.zeros(3)}
    gradients = {"kernel": np.array([0.5, -0.25, 0.125])}
    new, _ = optimizers.adamw(
        gradients, optimizers.init(parameters), parameters, 0.1, epsilon=0.0, bias_correction=True
    )
    np.testing.assert_allclose(new["kernel"], [-0.1, 0.1, -0.1])


def test_reverse_refuses_what_it_cannot_differentiate():
    with pytest.raises(TypeError):
        reverse.gradients(lambda x: np.sum(np.sin(x["x"])), {"x": np.ones(2)})
