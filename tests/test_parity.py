"""Exported folders in transformers itself: the same logits and the same token ids."""

import json
import os

import numpy as np
import pytest
from conftest import SEQUENCE, SIZES, encoded, random_batch
from malay import PIECES, sentences
from malay import model as malay_model
from preprocess_corpus import folder
from sentencepiece import sentencepiece_model_pb2

from albert.checkpoints.folder import Checkpoint
from albert.compat import tf
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece
from albert.formats.huggingface.folder import (
    TASK_CLASSES,
    write_folder,
    write_model,
    write_tokenizer,
)
from albert.formats.huggingface.reading import read_folder
from albert.formats.huggingface.unigram import read_unigram
from albert.formats.huggingface.weights import read_tensors
from albert.formats.importing import read_source
from albert.model.albert import pretraining_output
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.parameters import HEAD_BIAS
from albert.system.errors import UsageError
from albert.tasks.export_fine_tuned import write_huggingface
from albert.tasks.folder import FineTuned
from albert.tasks.model import fine_tuning, initial_weights, task_logits
from albert.tasks.rows.encoding import features_of
from albert.tasks.rows.examples import Sentence
from albert.tasks.task import ENDS, NUMBER, Task
from albert.text import vocabulary
from albert.text.encoder import TextEncoder
from albert.text.tokenization import TextOptions, Tokenization
from albert.text.words import split_words
from preprocess.records.instances import encoding
from preprocess.sources.blocks import TextBlock

# Nothing is downloaded, and the copies transformers makes of custom classes stay out of the home.
os.environ.update(HF_HUB_OFFLINE="1", HF_MODULES_CACHE=os.path.join(folder(), "hf_modules"))
WHY = "needs the extra `parity`: pip install '.[parity]'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
VARIANTS = [
    {"layout": "google"},
    {"layout": "google", "hidden_act": "relu"},
    {"layout": "google", "num_hidden_groups": 2, "num_hidden_layers": 5},
    {"layout": "google", "num_hidden_groups": 3, "num_hidden_layers": 3, "inner_group_num": 2},
    {"layout": "google", "embedding_size": SIZES["hidden_size"]},
    {"layout": "brightmart"},
    {"layout": "brightmart", "ln_type": "postln"},
    {"layout": "brightmart", "final_layer_norm": True},
    {"layout": "brightmart", "shared_type": "attention"},
    {"layout": "brightmart", "shared_type": "ffn", "ln_type": "postln"},
    {"layout": "brightmart", "shared_type": "none"},
    {
        "layout": "brightmart",
        "hidden_act": "geglu",
        "position_embedding_type": "rotary",
        "use_bias": False,
        "residual_scale": 0.5,
        "hidden_size": 18,  # a head of an even size
    },
]


def random_weights(config, seed=0):
    """Like new ones, but with norms and biases that make a difference."""
    random = np.random.RandomState(seed)
    return {
        name: (value + 0.1 * random.randn(*value.shape)).astype(np.float32)
        for name, value in initial_values(config, seed).items()
    }


def everywhere(batch):
    """A batch that asks for a prediction at every position."""
    rows, length = batch["input_ids"].shape
    return dict(batch, masked_lm_positions=np.tile(np.arange(length, dtype=np.int32), (rows, 1)))


def torch_inputs(batch):
    renamed = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["segment_ids"],
    }
    return {name: torch.tensor(value, dtype=torch.long) for name, value in renamed.items()}


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_logits_of_both_heads_are_equal(variant, tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, **variant))
    weights, batch = random_weights(config), everywhere(random_batch(7))
    write_model(
        str(tmp_path),
        config_json.to_huggingface(config, IDS),
        names.to_huggingface(config, weights),
    )
    loaded, report = transformers.AutoModelForPreTraining.from_pretrained(
        str(tmp_path),
        trust_remote_code=config.layout == "brightmart",
        output_loading_info=True,
    )
    assert not any(report.values()), report
    loaded.eval()
    with torch.no_grad():
        theirs = loaded(**torch_inputs(batch))
    tensors = {name: tf.constant(value) for name, value in weights.items()}
    ours = pretraining_output(config, tensors, {k: tf.constant(v) for k, v in batch.items()})
    real = batch["input_mask"] > 0
    words = ours.masked_lm_logits.numpy()[real] - theirs.prediction_logits.numpy()[real]
    order = ours.sentence_order_logits.numpy() - theirs.sop_logits.numpy()
    print("largest differences: words", np.abs(words).max(), "order", np.abs(order).max())
    assert np.abs(ours.masked_lm_logits.numpy()[real]).max() > 1.0  # there is something to differ
    assert np.abs(words).max() < 1e-4
    assert np.abs(order).max() < 1e-4


@pytest.mark.parametrize(
    "kind", ["MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering"]
)
def test_brightmart_classes_for_other_tasks_load_the_encoder(kind, tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="brightmart"))
    weights, batch = random_weights(config), random_batch(3)
    write_model(
        str(tmp_path),
        config_json.to_huggingface(config, IDS),
        names.to_huggingface(config, weights),
    )
    loaded = getattr(transformers, "AutoModelFor" + kind).from_pretrained(
        str(tmp_path), trust_remote_code=True
    )
    base = transformers.AutoModel.from_pretrained(str(tmp_path), trust_remote_code=True)
    with torch.no_grad():
        hidden = base.eval()(**torch_inputs(batch)).last_hidden_state.numpy()
        output = loaded.eval()(**torch_inputs(batch), output_hidden_states=True)
    np.testing.assert_array_equal(output.hidden_states[-1].numpy(), hidden)
    ours = encoded(config, weights, batch).sequence.numpy()
    real = batch["input_mask"] > 0
    np.testing.assert_allclose(hidden[real], ours[real], atol=1e-4)


@pytest.fixture(scope="module")
def brightmart(tmp_path_factory):
    """A folder, and its config and weights."""
    path = tmp_path_factory.mktemp("brightmart")
    config = ModelConfig.from_dict(dict(SIZES, layout="brightmart"))
    weights = random_weights(config)
    tensors = names.to_huggingface(config, weights)
    write_model(str(path), config_json.to_huggingface(config, IDS), tensors)

    def load(kind, **more):
        auto = getattr(transformers, "AutoModel" + kind)
        return auto.from_pretrained(str(path), trust_remote_code=True, **more)

    return load, config, weights


@pytest.mark.parametrize("how", ["sdpa", "eager"])
def test_both_ways_to_attend_give_our_states_and_tuples(how, brightmart):
    load, config, weights = brightmart
    batch = random_batch(5)
    ours = encoded(config, weights, batch)
    loaded = load("", attn_implementation=how).eval()
    assert loaded.config._attn_implementation == how
    with torch.no_grad():
        hidden, pooled = loaded(**torch_inputs(batch), return_dict=False)
        attended = loaded(**torch_inputs(batch), output_attentions=True).attentions
    real = batch["input_mask"] > 0
    np.testing.assert_allclose(hidden.numpy()[real], ours.sequence.numpy()[real], atol=1e-5)
    np.testing.assert_allclose(pooled.numpy(), ours.pooled.numpy(), atol=1e-5)
    assert len(attended) == config.num_hidden_layers
    np.testing.assert_allclose(attended[0].sum(-1).numpy(), 1.0, atol=1e-5)
    with pytest.raises(ValueError, match="has 42 pieces a row, and the model takes 41"):
        loaded(torch.ones(1, 42, dtype=torch.long))


def test_brightmart_heads_score_what_our_states_say(brightmart):
    load, config, weights = brightmart
    batch = random_batch(6)
    ours, inputs = encoded(config, weights, batch), torch_inputs(batch)
    answers = load("ForQuestionAnswering").eval()
    choice = load("ForMultipleChoice").eval()
    regression = load("ForSequenceClassification", num_labels=1).eval()
    several = load("ForSequenceClassification", num_labels=3).eval()

    def linear(features, layer):
        return features.numpy() @ layer.weight.numpy().T + layer.bias.numpy()

    ones, floats = torch.ones(6, dtype=torch.long), torch.rand(6, 3).round()
    pairs = {name: value.view(3, 2, -1) for name, value in inputs.items()}
    with torch.no_grad():
        spans = answers(**inputs, start_positions=ones, end_positions=ones + 1)
        chosen = choice(**pairs, labels=ones[:3])
        value = regression(**inputs, labels=floats[:, 0])
        found = several(**inputs, labels=floats)
        scores = linear(ours.sequence, answers.qa_outputs)[..., 0]
        expected = linear(ours.pooled, choice.classifier).reshape(3, 2)
    real = batch["input_mask"] > 0
    np.testing.assert_allclose(spans.start_logits.numpy()[real], scores[real], atol=1e-5)
    np.testing.assert_allclose(chosen.logits.numpy(), expected, atol=1e-5)
    cross_entropy = torch.nn.functional.cross_entropy
    starts, ends = (
        cross_entropy(spans.start_logits, ones),
        cross_entropy(spans.end_logits, ones + 1),
    )
    assert float(spans.loss) == pytest.approx(float(starts + ends) / 2, rel=1e-5)
    squares = (value.logits[:, 0] - floats[:, 0]) ** 2
    assert float(value.loss) == pytest.approx(float(squares.mean()), rel=1e-5)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(found.logits, floats)
    assert float(found.loss) == pytest.approx(float(wanted), rel=1e-5)


def test_brightmart_grows_and_recomputes(brightmart):
    load, config, _ = brightmart
    inputs = torch_inputs(random_batch(4))
    gradients = []
    for recompute in (False, True):
        loaded = load("ForMaskedLM").train()
        if recompute:
            loaded.gradient_checkpointing_enable()
            assert loaded.albert.encoder.gradient_checkpointing
        loaded(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients.append(loaded.albert.embeddings.projection.weight.grad)
    torch.testing.assert_close(*gradients)
    before = loaded.eval()(**inputs).logits
    loaded.resize_token_embeddings(config.vocab_size + 3)
    after = loaded(**inputs).logits
    assert after.shape[-1] == config.vocab_size + 3 == loaded.config.vocab_size
    torch.testing.assert_close(after[..., : config.vocab_size], before)


def our_ids(lines, words, lower_case, keep_accents):
    text = "\n".join(lines).encode("utf-8")
    found = encoding.encode_block(
        TextBlock(0, 0, "malay.txt", 0, text, 0),
        words,
        lower=lower_case,
        keep_accents=keep_accents,
        seed=0,
        longest=10**6,
    )
    return [part.tolist() for part in np.split(found.ids, found.sentence_offsets[1:-1])]


@pytest.mark.parametrize("lower_case, keep_accents", [(False, True), (True, False)])
def test_token_ids_are_equal_on_a_thousand_sentences(lower_case, keep_accents, tmp_path):
    words = vocabulary.load(malay_model())
    assert words.resplit  # "2019," is among the pieces
    lines = sentences(1000, seed=2)
    how = Tokenization(malay_model(), TextOptions(lower_case, keep_accents))
    write_tokenizer(str(tmp_path), spiece.read(malay_model()), how, 512)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    for line, ids in zip(lines, our_ids(lines, words, lower_case, keep_accents)):
        assert theirs(line)["input_ids"] == [words.cls] + ids + [words.sep], line
    pair = theirs(lines[0], lines[1])
    assert pair["token_type_ids"] == [0] * len(theirs(lines[0])["input_ids"]) + [1] * (
        len(theirs(lines[1])["input_ids"]) - 1
    )


def test_a_whole_folder_fills_masks(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", vocab_size=PIECES))
    weights = random_weights(config)
    checkpoint = Checkpoint("", "model.ckpt-7", config, weights, 7, {"loss": 6.5})
    write_folder(str(tmp_path), checkpoint, Tokenization(malay_model()), {})
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path))
    words = vocabulary.load(malay_model())
    assert loaded.config.bos_token_id == tokenizer.bos_token_id == words.cls
    assert loaded.config.eos_token_id == tokenizer.eos_token_id == words.sep
    assert loaded.config.pad_token_id == tokenizer.pad_token_id == words.pad
    assert tokenizer.mask_token_id == words.mask
    assert (tokenizer.init_kwargs["do_lower_case"], tokenizer.init_kwargs["keep_accents"]) == (0, 1)
    fill = transformers.pipeline("fill-mask", model=loaded, tokenizer=tokenizer)
    assert len(fill("saya [MASK] nasi")) == 5
    pieces = tokenizer.tokenize("saya [MASK] nasi [MASK]nya")
    split = words.processor.EncodeAsPieces
    start = split("saya") + ["[MASK]"] + split("nasi") + ["[MASK]"]
    assert pieces[: len(start)] == start
    assert "".join(pieces[len(start) :]) == "nya"  # the mask is a part of that word


def test_what_transformers_saves_is_read_back(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    weights = random_weights(config)
    write_model(
        str(tmp_path),
        config_json.to_huggingface(config, IDS),
        names.to_huggingface(config, weights),
    )
    loaded = transformers.AlbertForPreTraining.from_pretrained(str(tmp_path))
    assert json.load(open(os.path.join(str(tmp_path), "config.json")))["hidden_act"] == "gelu_new"
    loaded.save_pretrained(str(tmp_path / "again"))
    again = read_folder(str(tmp_path / "again"))
    assert again.config == config
    os.mkdir(str(tmp_path / "torch"))
    os.rename(str(tmp_path / "again" / "config.json"), str(tmp_path / "torch" / "config.json"))
    torch.save(loaded.state_dict(), str(tmp_path / "torch" / "pytorch_model.bin"))
    for found in (again, read_folder(str(tmp_path / "torch"))):
        assert set(found.weights) == set(weights)
        for name, value in weights.items():
            assert found.weights[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_what_was_trained_on_in_transformers_comes_back(layout, tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, vocab_size=PIECES))
    checkpoint = Checkpoint("", "model.ckpt-7", config, random_weights(config), 7, {})
    write_folder(str(tmp_path), checkpoint, Tokenization(malay_model()), {})
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(
        str(tmp_path), trust_remote_code=True
    )
    batch = everywhere(random_batch(5))
    inputs = torch_inputs(batch)
    loaded(**inputs, labels=inputs["input_ids"]).loss.backward()
    torch.optim.SGD(loaded.parameters(), lr=0.1).step()
    back = str(tmp_path / "back")
    loaded.save_pretrained(back, max_shard_size="20KB")
    tokenizer.save_pretrained(back)
    assert "spiece.model" not in os.listdir(back) and len(os.listdir(back)) > 5
    found = read_source(back)
    assert found.config == config
    found = found.completed()
    with torch.no_grad():
        theirs = loaded.eval()(**inputs).logits.numpy()
    tensors = {name: tf.constant(value) for name, value in found.tensors.items()}
    ours = pretraining_output(config, tensors, {k: tf.constant(v) for k, v in batch.items()})
    difference = (ours.masked_lm_logits.numpy() - theirs)[batch["input_mask"] > 0]
    assert np.abs(difference).max() < 1e-4
    (tmp_path / "again.model").write_bytes(found.spm_model)
    again = vocabulary.load(str(tmp_path / "again.model"))
    lines = sentences(200, seed=4)
    assert our_ids(lines, again, False, True) == [
        tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines
    ]


def test_albert_tokenizers_give_the_same_ids_without_their_spiece_model(tmp_path):
    from tokenizers import Tokenizer

    proto = sentencepiece_model_pb2.ModelProto()
    with open(malay_model(), "rb") as handle:
        proto.ParseFromString(handle.read())
    for piece in proto.pieces:
        if piece.type == 4:  # user-defined ones are cut out of raw text by transformers
            piece.type, piece.score = 1, -9.0
    (tmp_path / "spiece.model").write_bytes(proto.SerializeToString())
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizer"}')
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path), keep_accents=True)
    theirs.save_pretrained(str(tmp_path / "back"))
    found = read_unigram(str(tmp_path / "back" / "tokenizer.json"))
    assert found.text == TextOptions(do_lower_case=True, keep_accents=True)
    (tmp_path / "again.model").write_bytes(found.model)
    processor = vocabulary.load(str(tmp_path / "again.model")).processor
    raw = Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    for line in sentences(500, seed=9):
        if "''" not in line and "``" not in line:
            text = vocabulary.normalize(line, True, True)
            ids = raw.encode(line, add_special_tokens=False).ids
            assert processor.EncodeAsIds(text) == ids, line


def test_a_pickled_module_is_refused_in_a_sentence(tmp_path):
    for content in (torch.nn.Linear(2, 2), {"model": {}, "epoch": 3}, [1]):
        torch.save(content, str(tmp_path / "pytorch_model.bin"))
        with pytest.raises(UsageError, match="a pickled module or other Python objects"):
            read_tensors(str(tmp_path))


LABELS = {"regression": NUMBER, "question-answering": ENDS}


def tuned(kind, layout):
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, vocab_size=PIECES))
    task = Task(kind, LABELS.get(kind, ("satu", "dua", "tiga")), 30, False, True)
    if kind == "regression":
        task = task._replace(mean=3.0, deviation=7.0)
    weights = initial_weights(config, task, random_weights(config), seed=4)
    weights[HEAD_BIAS] = np.array([0.5, -0.5, 1.0], np.float32)[: len(task.labels)]
    return FineTuned("", config, task, weights, 5, Tokenization(malay_model()))


@pytest.mark.parametrize("layout", ["google", "brightmart"])
@pytest.mark.parametrize(
    "kind,auto", [(kind, auto) for kind, auto in TASK_CLASSES.items() if kind != "entities"]
)
def test_fine_tuned_models_give_the_same_logits_and_losses(kind, auto, layout, tmp_path):
    model = tuned(kind, layout)
    write_huggingface(str(tmp_path), model)
    loaded, report = getattr(transformers, "AutoModelFor" + auto).from_pretrained(
        str(tmp_path), trust_remote_code=layout == "brightmart", output_loading_info=True
    )
    assert not any(report.values()), report
    assert loaded.config.id2label == dict(enumerate(model.task.labels))
    batch = dict(random_batch(6), input_mask=np.ones((6, SEQUENCE), np.int32))
    labels = right_answers(model.task, 6)
    asked = {name: torch.tensor(value) for name, value in labels.items()}
    with torch.no_grad():
        found = loaded.eval()(**torch_inputs(batch), **asked)
    tensors = {name: tf.constant(value) for name, value in model.weights.items()}
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    ours = task_logits(model.config, model.task, tensors, inputs).numpy()
    if kind == "question-answering":
        theirs = np.stack([found.start_logits.numpy(), found.end_logits.numpy()], axis=1)
    else:
        theirs = found.logits.numpy()
    of_numbers = kind == "regression"
    assert np.ptp(ours) > (0.01 if of_numbers else 0.5)
    said = model.task.mean + model.task.deviation * ours if of_numbers else ours
    print("largest difference:", np.abs(said - theirs).max())
    assert np.abs(said - theirs).max() < 1e-4
    right = np.stack(list(labels.values()), 1) if len(labels) > 1 else labels["labels"]
    numbers = ((right - 3.0) / 7.0)[:, np.newaxis].astype(np.float32) if of_numbers else None
    batch["labels"] = right.astype(np.int32) if numbers is None else numbers
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    loss = fine_tuning(model.config, model.task, [1.0] * 3).sums(tensors, inputs)["loss"]
    mean = float(loss.total / loss.weight) * (7.0**2 if of_numbers else 1.0)
    assert mean == pytest.approx(float(found.loss), rel=1e-5)


def right_answers(task, rows):
    """Labels as transformers takes them."""
    random = np.random.RandomState(3)
    if task.kind == "question-answering":
        names = ("start_positions", "end_positions")
        return {name: random.randint(SEQUENCE, size=rows) for name in names}
    shape = (rows, SEQUENCE) if task.kind == "tagging" else (rows,)
    labels = {
        "regression": random.randn(rows).astype(np.float32),
        "multi-label": random.randint(2, size=(rows, 3)).astype(np.float32),
    }.get(task.kind, random.randint(3, size=shape))
    return {"labels": labels}


def test_words_one_by_one_have_the_same_ids(tmp_path):
    model = tuned("tagging", "google")
    write_huggingface(str(tmp_path), model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    encoder = TextEncoder(model.tokenization, ModelConfig(vocab_size=PIECES))
    for line in sentences(200, seed=8):
        words = tuple(word for word in split_words(line) if encoder.pieces(word))
        rows = features_of(model.task, encoder, [Sentence(words, ("satu",) * len(words))])
        if len(rows) == 1:
            theirs = tokenizer(list(words), is_split_into_words=True)["input_ids"]
            assert theirs == rows[0].encoded.ids.tolist(), line


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_bin_file_runs_no_code(tmp_path):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    values = config_json.to_huggingface(config, IDS)
    (tmp_path / "config.json").write_text(json.dumps(values))
    torch.save({"x": Hostile(str(tmp_path / "hacked"))}, str(tmp_path / "pytorch_model.bin"))
    with pytest.raises(UsageError, match="holds more than weights by name"):
        read_folder(str(tmp_path))
    assert not (tmp_path / "hacked").exists()
