"""Config files: strict, and the presets are the published models."""

import dataclasses
import glob
import json
import os

import pytest

from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.parameters import parameter_specs
from albert.system.errors import UsageError
from albert.system.files.shipped import CONFIG_DIRECTORY, find_config, find_recipe, with_recipes

PRESETS = sorted(os.path.basename(p) for p in glob.glob(os.path.join(CONFIG_DIRECTORY, "*.json")))


def total(config):
    count = 0
    for spec in parameter_specs(config).values():
        size = 1
        for length in spec.shape:
            size *= length
        count += size
    return count


@pytest.mark.parametrize("name", PRESETS)
def test_preset_reads_and_survives_a_round_trip(name):
    config = ModelConfig.from_json_file(name)
    assert ModelConfig.from_dict(json.loads(config.to_json())) == config


@pytest.mark.parametrize(
    "name,millions",  # Lan et al., 2019, table 1: 12M, 18M, 60M, 235M with 30,000 pieces
    [("base", 11.8), ("large", 17.8), ("xlarge", 58.8), ("xxlarge", 222.7)],
)
def test_preset_has_the_published_size(name, millions):
    encoder = total(ModelConfig.from_json_file(name))
    assert encoder / 1e6 == pytest.approx(millions, rel=0.01)


def test_seed_names_are_the_malay_models():
    for name, hidden in (("base", 768), ("large", 1024)):
        config = ModelConfig.from_json_file("albert_config_{}.json".format(name))
        assert (config.layout, config.vocab_size, config.hidden_size) == (
            "brightmart",
            32000,
            hidden,
        )


def test_config_is_found_without_its_folder():
    found = os.path.join(CONFIG_DIRECTORY, "albert_config_base.json")
    assert os.path.samefile(find_config("albert_config_base.json"), found)
    assert os.path.samefile(find_config("elsewhere/albert_config_base.json"), found)
    with pytest.raises(UsageError, match="Presets: .*base.*tiny"):
        find_config("huge")


def test_a_recipe_is_found_without_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpu-minutes").mkdir()  # a folder of that name is not meant
    recipe = os.path.join(CONFIG_DIRECTORY, "recipes", "cpu-minutes.flags")
    for name in ("cpu-minutes", "cpu-minutes.flags", "albert_config/recipes/cpu-minutes.flags"):
        assert os.path.samefile(find_recipe(name), recipe)
    (tmp_path / "cpu-minutes.flags").write_text("--log_steps=7\n")
    assert find_recipe("cpu-minutes.flags") == "cpu-minutes.flags"  # one's own goes first
    with pytest.raises(UsageError, match="albert_config/recipes/. Recipes: cpu-minutes, cpu-tiny"):
        find_recipe("gpu.flags")


def test_recipes_are_looked_up_where_flagfile_has_them_only():
    found = find_recipe("cpu-tiny")
    words = ["train", "--flagfile=cpu-tiny", "--model=tiny", "-flagfile", "cpu-tiny", "cpu-tiny"]
    expected = list(words)
    expected[1], expected[4] = "--flagfile=" + found, found
    assert with_recipes(words) == expected


@pytest.mark.parametrize(
    "change,message",
    [
        ({"hiden_size": 8}, "unknown key 'hiden_size'; did you mean 'hidden_size'?"),
        ({"hidden_size": 10, "num_attention_heads": 4}, "Choose a head count among 1, 2, 5, 10"),
        ({"hidden_size": "10"}, "hidden_size must be of type int. Received '10'"),
        ({"hidden_act": "swish"}, "hidden_act must be one of gelu, .*Received 'swish'"),
        ({"vocab_size": 0}, "vocab_size must be at least 1 and at most .*Received 0"),
        ({"hidden_dropout_prob": 1.5}, r"must be in \[0, 1\). Received 1.5"),
        ({"ln_type": "preln", "num_hidden_groups": 1}, "mixes keys of two layouts"),
        ({"ln_type": "postln", "final_layer_norm": True}, "final_layer_norm is for"),
        ({"layout": "google", "num_hidden_groups": 99}, "must not exceed num_hidden_layers"),
    ],
)
def test_a_mistake_is_one_clear_sentence(change, message):
    with pytest.raises(UsageError, match=message):
        ModelConfig.from_dict(dict({"vocab_size": 10}, **change))


def test_a_layout_that_is_named_settles_mixed_keys():
    mixed = {"vocab_size": 10, "ln_type": "preln", "num_hidden_groups": 1}
    for layout in ("google", "brightmart"):
        assert ModelConfig.from_dict(dict(mixed, layout=layout)).layout == layout


def test_layout_is_inferred_from_the_keys_of_each_system():
    assert ModelConfig.from_dict({"vocab_size": 9, "net_structure_type": 0}).layout == "google"
    assert ModelConfig.from_dict({"vocab_size": 9, "directionality": "bidi"}).layout == "brightmart"
    assert ModelConfig.from_dict({"vocab_size": 9, "shared_type": None}).shared_type == "none"


def test_initial_weights_depend_on_seed_and_name_only(small_config):
    values = initial_values(small_config, seed=7)
    again = initial_values(small_config, seed=7)
    other = initial_values(small_config, seed=8)
    name = "bert/embeddings/word_embeddings"
    for key in values:
        assert (values[key] == again[key]).all()
    assert (values[name] != other[name]).any()
    # Two standard deviations, as the originals' truncated normal.
    assert abs(values[name]).max() <= 2 * small_config.initializer_range
    assert values[name].std() == pytest.approx(0.88 * small_config.initializer_range, rel=0.05)


def test_brightmart_words_start_at_the_scale_of_positions():
    """Of the sum that enters the encoder, not a fifth of it as in the published models."""
    config = ModelConfig.from_json_file("base-brightmart")
    values = initial_values(dataclasses.replace(config, vocab_size=2000), seed=1)
    words = values["bert/embeddings/word_embeddings"] @ values["bert/embeddings/word_embeddings_2"]
    ratio = words.std() / values["bert/embeddings/position_embeddings"].std()
    assert ratio == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("hidden_size", 10**12, "at most 1,048,576. Received 1e.12"),
        ("num_hidden_layers", 10**9, "at most 4,096"),
        ("vocab_size", 2**40, "at most 16,777,216"),
        ("type_vocab_size", 10**7, "at most 65,536"),
        ("initializer_range", float("nan"), "finite"),
    ],
)
def test_sizes_of_no_model_are_refused_at_once(field, value, message):
    values = dict(vocab_size=100, hidden_size=64, num_attention_heads=4)
    with pytest.raises(UsageError, match="x.json: {} must be .*{}".format(field, message)):
        ModelConfig.from_dict(dict(values, **{field: value}), "x.json")


def test_a_deep_file_is_no_config(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100000)
    with pytest.raises(UsageError, match="Cannot read config .*deep.json"):
        ModelConfig.from_json_file(str(path))
