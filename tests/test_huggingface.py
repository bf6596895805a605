"""Folders of transformers, without transformers: names, config, tokenizer, what is refused."""

import json
import os

import numpy as np
import pytest
from conftest import SIZES
from malay import PIECES, model, sentences
from manifests import manifest
from oracles import goldens
from safetensors.numpy import save_file

from albert.checkpoints.folder import Checkpoint
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece, tokenizer
from albert.formats.huggingface.folder import write_folder, write_model
from albert.formats.huggingface.reading import is_folder, read_folder
from albert.formats.huggingface.unigram import read_unigram
from albert.formats.huggingface.weights import read_tensors
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.text import vocabulary
from albert.text.tokenization import TextOptions, Tokenization

IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
VARIANTS = [
    {"layout": "google", "num_hidden_groups": 3, "num_hidden_layers": 3, "inner_group_num": 2},
    {"layout": "google", "embedding_size": SIZES["hidden_size"]},
    {"layout": "brightmart", "ln_type": "postln", "shared_type": "attention"},
    {"layout": "brightmart", "shared_type": "none"},
    {"layout": "brightmart", "hidden_act": "geglu", "use_bias": False, "residual_scale": 0.5},
    {"layout": "brightmart", "position_embedding_type": "rotary", "hidden_size": 18},
]


def write(directory, config, weights):
    values = config_json.to_huggingface(config, IDS)
    write_model(str(directory), values, names.to_huggingface(config, weights))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_weight_comes_back_byte_for_byte(variant, tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, **variant))
    weights = initial_values(config, seed=1)
    write(tmp_path, config, weights)
    assert is_folder(str(tmp_path))
    found = read_folder(str(tmp_path))
    assert found.config == config
    assert set(found.weights) == set(weights)
    for name, value in weights.items():
        assert found.weights[name].tobytes() == value.tobytes(), name
        assert found.weights[name].shape == value.shape


@pytest.mark.parametrize("layout", goldens.LAYOUTS)
def test_weights_of_the_originals_come_back_byte_for_byte(layout, tmp_path):
    golden = goldens.load(layout)
    config = ModelConfig.from_dict(golden.config)
    write(tmp_path, config, golden.parameters)
    for name, value in read_folder(str(tmp_path)).weights.items():
        assert value.tobytes() == golden.parameters[name].tobytes(), name


def test_keys_and_values_are_those_of_transformers():
    config = ModelConfig.from_dict(dict(SIZES, layout="google", num_hidden_groups=2))
    weights = initial_values(config, seed=1)
    tensors = names.to_huggingface(config, weights)
    scope = "bert/encoder/transformer/group_1/inner_group_0/"
    there = "albert.encoder.albert_layer_groups.1.albert_layers.0."
    pairs = (
        (scope + "ffn_1/intermediate/output/dense/kernel", there + "ffn_output.weight", True),
        (scope + "LayerNorm_1/beta", there + "full_layer_layer_norm.bias", False),
        (scope + "attention_1/self/key/kernel", there + "attention.key.weight", True),
        (
            "cls/seq_relationship/output_weights",
            "sop_classifier.classifier.weight",
            False,
        ),
    )
    for ours, theirs, transposed in pairs:
        expected = weights[ours].T if transposed else weights[ours]
        np.testing.assert_array_equal(tensors[theirs], expected)
    values = config_json.to_huggingface(config, dict(IDS, cls=7, sep=8, pad=5))
    assert (values["model_type"], values["hidden_act"]) == ("albert", "gelu_new")
    assert [values[k + "_token_id"] for k in ("bos", "eos", "pad", "mask")] == [7, 8, 5, 4]
    assert "layout" not in values and "ln_type" not in values


def test_models_without_an_equal_are_refused(tmp_path):
    def config(**more):
        return ModelConfig.from_dict(dict(SIZES, layout="google", **more))

    uneven = config(num_hidden_layers=18, num_hidden_groups=14)
    with pytest.raises(UsageError, match="another group's weights"):
        config_json.to_huggingface(uneven, IDS)
    values = config_json.to_huggingface(config(), IDS)
    for change, message in (
        ({"model_type": "bert"}, "type 'bert'; only albert"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps=1e-05"),
        ({"hidden_act": "swish"}, "hidden_act='swish'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
    ):
        with pytest.raises(UsageError, match=message):
            config_json.from_huggingface(dict(values, **change), "config.json")
    same = config(embedding_size=SIZES["hidden_size"])
    tensors = names.to_huggingface(same, initial_values(same, 0))
    tensors["albert.encoder.embedding_hidden_mapping_in.weight"][0, 1] = 0.5
    with pytest.raises(UsageError, match="no such projection"):
        names.from_huggingface(same, tensors, "folder")
    tensors = names.to_huggingface(config(), initial_values(config(), 0))
    untied = tensors["albert.embeddings.word_embeddings.weight"] + 1
    with pytest.raises(UsageError, match="output embedding of its own"):
        names.from_huggingface(
            config(), dict(tensors, **{"predictions.decoder.weight": untied}), "folder"
        )
    del tensors["albert.pooler.bias"]
    with pytest.raises(UsageError, match="1 weights differ, first albert.pooler.bias: only in"):
        names.from_huggingface(config(), tensors, "folder")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t * np.float32(np.nan), r"'albert.pooler.weight' \(441 of 441 numbers\)"),
        (lambda t: t.astype(np.float64) + 1e300, "NaN or Inf"),
        (lambda t: t.astype(np.int8), "'albert.pooler.weight' is of type int8"),
        (lambda t: t > 0, "is of type bool"),
        (lambda t: t[:, 1:], r"pooler.weight: \[21, 20\] in the checkpoint, \[21, 21\] in the c"),
    ],
)
def test_what_the_config_contradicts_or_is_no_number_is_refused_by_name(change, message):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    tensors = names.to_huggingface(config, initial_values(config, 0))
    tensors["albert.pooler.weight"] = change(tensors["albert.pooler.weight"])
    with pytest.raises(UsageError, match=message):
        names.from_huggingface(config, tensors, "folder")


def test_the_output_bias_has_two_names():
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    tensors = names.to_huggingface(config, initial_values(config, 0))
    bias = np.arange(SIZES["vocab_size"], dtype=np.float32)
    tensors["predictions.decoder.bias"] = bias
    with pytest.raises(UsageError, match="two output biases"):
        names.from_huggingface(config, tensors, "folder")
    del tensors["predictions.bias"]
    found = names.from_huggingface(config, tensors, "folder")
    np.testing.assert_array_equal(found["cls/predictions/output_bias"], bias)


def test_a_bare_encoder_and_the_erf_gelu_are_read(tmp_path, caplog):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    tensors = names.to_huggingface(config, initial_values(config, 0))
    bare = {k[len("albert.") :]: v for k, v in tensors.items() if k.startswith("albert.")}
    values = dict(config_json.to_huggingface(config, IDS), hidden_act="gelu")
    write_model(str(tmp_path), values, dict(bare, **{"classifier.weight": np.zeros([3, 21])}))
    found = read_folder(str(tmp_path))
    assert set(found.weights) == set(names.encoder_keys(config))
    assert found.config.hidden_act == "gelu"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "pointer of Git LFS"),
        (b"", "no file that torch.save wrote|Cannot read .*(HeaderTooSmall|header too small)"),
        (
            b"<html>404</html>",
            "no file that torch.save wrote|Cannot read .*(HeaderTooLarge|header too large)",
        ),
    ],
)
def test_what_stands_for_weights_is_named(content, message, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_tensors(str(tmp_path))


def test_shards_are_read_and_their_index_is_held_to_them(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    weights = initial_values(config, 0)
    write(tmp_path, config, weights)
    tensors = read_tensors(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    files = ["model-0000{}-of-00002.safetensors".format(number) for number in (1, 2)]
    where = {key: files[number % 2] for number, key in enumerate(sorted(tensors))}
    for file in files:
        part = {key: tensors[key] for key in where if where[key] == file}
        save_file(part, str(tmp_path / file))

    def index(**changes):
        content = json.dumps({"metadata": {}, "weight_map": dict(where, **changes)})
        (tmp_path / "model.safetensors.index.json").write_text(content)
        return read_folder(str(tmp_path))

    assert {n: v.tobytes() for n, v in index().weights.items()} == {
        n: v.tobytes() for n, v in weights.items()
    }
    key = "predictions.bias"
    for name, message in (
        ("../x.safetensors", "is no file of its folder"),
        ("model-3.safetensors", "which is not there"),
        (next(file for file in files if file != where[key]), "does not hold it"),
    ):
        with pytest.raises(UsageError, match=message):
            index(**{key: name})


def test_halves_are_read_and_other_types_refused_by_name(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    weights = initial_values(config, 0)
    write(tmp_path, config, weights)
    tensors = read_tensors(str(tmp_path))
    header, data = {}, b""
    for key, value in tensors.items():  # NumPy has no type for it, so neither has its save_file
        begin, data = len(data), data + (value.view("<u4") >> 16).astype("<u2").tobytes()
        offsets = [begin, len(data)]
        header[key] = {"dtype": "BF16", "shape": value.shape, "data_offsets": offsets}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    (tmp_path / "model.safetensors").write_bytes(content)
    for name, value in read_folder(str(tmp_path)).weights.items():
        np.testing.assert_allclose(value, weights[name], rtol=1 / 128)
    save_file(
        {k: v.astype(np.int8) for k, v in tensors.items()}, str(tmp_path / "model.safetensors")
    )
    with pytest.raises(UsageError, match="is of type int8; weights are floating-point numbers"):
        read_folder(str(tmp_path))


def test_a_broken_weight_file_is_one_sentence(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    write(tmp_path, config, initial_values(config, 0))
    with open(str(tmp_path / "model.safetensors"), "r+b") as handle:
        handle.truncate(100)
    with pytest.raises(UsageError, match="Cannot read .*model.safetensors"):
        read_folder(str(tmp_path))


def respelled(path, **changes):
    """A copy of the model with other spellings, or with other options."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    with open(model(), "rb") as handle:
        proto.ParseFromString(handle.read())
    for piece in proto.pieces:
        piece.piece = changes.get("spellings", {}).get(piece.piece, piece.piece)
    proto.trainer_spec.model_type = changes.get("model_type", 1)
    with open(str(path), "wb") as handle:
        handle.write(proto.SerializeToString())
    return str(path)


def test_special_pieces_of_both_families_are_found(tmp_path):
    style = {"[CLS]": "<cls>", "[SEP]": "<sep>", "[MASK]": "<mask>"}
    other = spiece.read(respelled(tmp_path / "xlnet.model", spellings=style))
    assert other.special_ids == spiece.read(model()).special_ids
    content = tokenizer.tokenizer_json(other, False, True)
    assert "<mask>" in [token["content"] for token in content["added_tokens"]]
    assert content["post_processor"]["single"][0]["SpecialToken"]["id"] == "<cls>"


def test_tokenizers_without_an_equal_are_refused(tmp_path):
    with pytest.raises(UsageError, match="it is not a unigram model"):
        spiece.read(respelled(tmp_path / "bpe.model", model_type=2))
    with pytest.raises(UsageError, match="has no special pieces"):
        spiece.read(respelled(tmp_path / "bert.model", spellings={"[MASK]": "x"}))
    (tmp_path / "no.model").write_bytes(b"\x80not a model")
    with pytest.raises(UsageError, match="is not a SentencePiece model"):
        spiece.read(str(tmp_path / "no.model"))


def test_a_folder_tells_its_own_numbers_and_refuses_a_foreign_tokenizer(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="brightmart", vocab_size=PIECES))
    results = {"loss": 6.5, "masked_lm_accuracy": 0.1234, "masked_lm_loss": 5.0, "global_step": 7.0}
    checkpoint = Checkpoint("", "model.ckpt-7", config, initial_values(config, 0), 7, results)
    how = Tokenization(model(), TextOptions(True, False), manifest())
    write_folder(str(tmp_path), checkpoint, how, {"optimizer": "lamb"})
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for line in (
        "| masked_lm_accuracy | 0.1234 |",
        "| optimizer | lamb |",
        "| documents | 12 |",
        "| loss of a model that knows word frequencies alone | 6.2500 |",
        "trust_remote_code=True",
        "7 updates",
        "gets 12.3% of the masked pieces",
        "alone leave 6.25 nats a piece, this model 5.00: context saves 20% of them.",
        "seen 12 documents",
    ):
        assert line in card
    assert "modeling_albert_brightmart.py" in os.listdir(str(tmp_path))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (settings["do_lower_case"], settings["keep_accents"]) == (True, False)
    small = ModelConfig.from_dict(dict(SIZES, layout="brightmart"))
    with pytest.raises(UsageError, match="has 300 pieces, but the model knows 101"):
        write_folder(str(tmp_path), checkpoint._replace(config=small), how, {})


def test_a_tokenizer_json_becomes_the_model_it_was_made_of(tmp_path):
    words, path = vocabulary.load(model()), tmp_path / "tokenizer.json"
    content = tokenizer.tokenizer_json(spiece.read(model()), True, False)
    path.write_text(json.dumps(content))
    found = read_unigram(str(path))
    assert found.text == TextOptions(do_lower_case=True, keep_accents=False)
    (tmp_path / "again.model").write_bytes(found.model)
    again = vocabulary.load(str(tmp_path / "again.model"))
    assert again.special_ids == words.special_ids and again.pieces == words.pieces
    lines = [vocabulary.normalize(line, True, False) for line in sentences(300, seed=3)]
    ids = [
        [processor.EncodeAsIds(line) for line in lines]
        for processor in (words.processor, again.processor)
    ]
    resplit = [
        [[part for i in line for part in words.resplit.get(i, [i])] for line in which]
        for which in ids
    ]
    assert resplit[0] == resplit[1]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"model": {"type": "BPE", "merges": []}}, "its model is 'BPE', not Unigram"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 0}}}, "'WordPiece', not Unigram"),
        ({"normalizer": {"type": "BertNormalizer"}}, "its normalizer has 'BertNormalizer'"),
        ({"normalizer": {"type": "NFKD"}}, "does decompose in an order of its own"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "its pre-tokenizer has 'ByteLevel'"),
        ({"pre_tokenizer": None}, "does not mark words"),
        ({"added_tokens": [{"id": 300, "content": "x", "special": False}]}, "'x' was added to its"),
        (
            {"added_tokens": [{"id": 0, "content": "<pad>", "special": False}]},
            "cut out of raw text",
        ),
        ({"model": []}, "it is none"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused_with_the_reason(change, reason, tmp_path):
    content = tokenizer.tokenizer_json(spiece.read(model()), False, True)
    (tmp_path / "tokenizer.json").write_text(json.dumps(dict(content, **change)))
    with pytest.raises(UsageError, match="is not made a SentencePiece model: .*" + reason):
        read_unigram(str(tmp_path / "tokenizer.json"))
