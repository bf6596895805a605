"""The Python API of preprocess: the same results, and the same sentences, as the commands."""

import doctest
import hashlib
import inspect
import json
import os
import subprocess
import sys

import preprocess_corpus as corpus
import pytest
from conftest import ROOT

import preprocess
from albert.records.options import RecordOptions
from albert.system.files.names import comma_list
from albert.system.screen.progress import bars_are_seen
from preprocess import progress

ALONE = preprocess.Execution(num_workers=1, tqdm_off=True)


@pytest.fixture(name="text", scope="module")
def text_file(tmp_path_factory):
    return corpus.write_text(tmp_path_factory.mktemp("text") / "a.txt", corpus.documents(120))


def digest(path):
    with open(str(path), "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def command(*arguments):
    done = subprocess.run(
        [sys.executable] + list(arguments), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_a_model_is_that_of_the_command(text, tmp_path):
    path = preprocess.train_tokenizer(text, tmp_path / "api", vocab_size=200, do_lower_case=True)
    assert path == str(tmp_path / "api.model")
    prefix = tmp_path / "command"
    command(
        "-m",
        "preprocess",
        "tokenizer",
        "--input_file=" + text,
        "--model_prefix={}".format(prefix),
        "--vocab_size=200",
        "--do_lower_case",
    )
    for ending in (".model", ".vocab"):
        assert digest(str(tmp_path / "api") + ending) == digest(str(prefix) + ending)


def test_records_are_those_of_the_command(text, tmp_path):
    build = preprocess.build_records(
        text,
        tmp_path / "api",
        corpus.model(),
        execution=ALONE,
        max_seq_length=48,
        masked_lm_prob=0.2,
        num_shards=2,
    )
    assert isinstance(build, preprocess.Build)
    assert build.files == [str(tmp_path / "api-0000{}-of-00002".format(n)) for n in (0, 1)]
    assert build.manifest.max_seq_length == 48 and build.manifest.documents == 120
    assert sorted(build.seconds) == ["encode", "mask", "segment"]
    command(
        "create-pretraining-data.py",
        "--input_file=" + text,
        "--output_file={}".format(tmp_path / "command"),
        "--spm_model_file=" + corpus.model(),
        "--max_seq_length=48",
        "--masked_lm_prob=0.2",
        "--num_shards=2",
        "--num_workers=1",
    )
    for path in build.files:
        assert digest(path) == digest(path.replace("api-", "command-"))
    manifests = [json.load(open(str(tmp_path / n) + ".manifest.json")) for n in ("api", "command")]
    for manifest in manifests:
        del manifest["options"]["output_file"], manifest["files"]
    assert manifests[0] == manifests[1]


def test_files_are_a_path_a_glob_or_a_list(text, tmp_path):
    names = [
        corpus.write_text(tmp_path / n, corpus.documents(40, seed=s)) for s, n in enumerate("ab")
    ]
    kinds = (str(tmp_path / "?"), ",".join(names), names, [tmp_path / "a", tmp_path / "b"])
    made = []
    for number, files in enumerate(kinds):
        build = preprocess.build_records(
            files,
            [tmp_path / "x{}".format(number), str(tmp_path / "y{}".format(number))],
            corpus.model(),
            execution=ALONE,
        )
        assert len(build.files) == 2 and build.manifest.documents == 80
        made.append([digest(path) for path in build.files])
    assert all(digests == made[0] for digests in made)
    assert comma_list("a,b*", "input_file") == "a,b*"


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(max_seq_lenght=64), "takes no argument max_seq_lenght; did you mean max_seq_length"),
        (dict(zzz=1), "build_records takes no argument zzz.$"),
        (dict(spm_model_file="m"), "takes no argument spm_model_file"),
        (dict(max_seq_length=4), "--max_seq_length must be between 8 and 65000. Received 4"),
        (dict(max_seq_length="64"), "--max_seq_length must be a whole number. Received '64'"),
        (dict(max_seq_length=64.0), "--max_seq_length must be a whole number. Received 64.0"),
        (dict(ngram=True), "--ngram must be a whole number. Received True"),
        (dict(masked_lm_prob="a"), "--masked_lm_prob must be a number"),
        (dict(do_lower_case=1), "--do_lower_case must be True or False. Received 1"),
        (dict(masking="both"), "--masking must be one of: static, dynamic. Received 'both'"),
        (dict(masking=None), "--masking must be text. Received None"),
        (dict(input_file="none-*.txt"), "--input_file=none-.*matches no file"),
        (dict(input_file=3), "--input_file must be a path, a glob, or a list of them. Received 3"),
        (dict(input_file=["a,b"]), "a comma stands between names, so 'a,b' cannot be one"),
        (dict(input_file=[]), "--input_file is empty"),
        (dict(tokenizer="none.model"), "No SentencePiece model: none.model does not exist"),
        (dict(output_file=["a", "a"]), "--output_file=a,a must name files, each once"),
    ],
)
def test_mistakes_in_records_are_told(text, tmp_path, changes, message):
    arguments = dict(
        input_file=text, output_file=tmp_path / "a", tokenizer=corpus.model(), execution=ALONE
    )
    with pytest.raises(preprocess.UsageError, match=message):
        preprocess.build_records(**dict(arguments, **changes))
    assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(lower_case=True), "takes no argument lower_case; did you mean do_lower_case"),
        (dict(vocabsize=100), "takes no argument vocabsize; did you mean vocab_size"),
        (dict(vocab_size="100"), "--vocab_size must be a whole number. Received '100'"),
        (dict(vocab_size=-1), "--vocab_size must be between 0 and"),
        (dict(input_sentence_size=-1), "--input_sentence_size must be between 0 and"),
        (dict(character_coverage=99.95), "--character_coverage must be between 0 and 1"),
        (dict(preset="huge"), "--preset must be one of: guide, malaya. Received 'huge'"),
        (dict(input_file="none"), "--input_file=none matches no file"),
        (dict(vocab_size=30000), "the largest that works is"),
    ],
)
def test_mistakes_in_tokenizers_are_told(text, tmp_path, changes, message):
    arguments = dict(input_file=text, model_prefix=tmp_path / "m")
    with pytest.raises(preprocess.UsageError, match=message):
        preprocess.train_tokenizer(**dict(arguments, **changes))
    assert not os.listdir(str(tmp_path))


def test_numbers_of_other_kinds_become_plain_ones(text, tmp_path):
    import numpy as np

    build = preprocess.build_records(
        text,
        tmp_path / "a",
        corpus.model(),
        execution=ALONE,
        max_seq_length=np.int64(32),
        masked_lm_prob=0,
    )
    assert type(build.manifest.options.max_seq_length) is int
    assert type(build.manifest.options.masked_lm_prob) is float


def test_the_signature_shows_every_option():
    shown = inspect.signature(preprocess.build_records).parameters
    for name, default in (("max_seq_length", 512), ("masking", "static")):
        assert shown[name].default == default
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
    fields = set(RecordOptions.__dataclass_fields__) - {"spm_model_file"}
    assert set(shown) == fields | {"tokenizer", "execution"}


def test_a_new_model_of_the_same_name_is_read_again(text, tmp_path):
    sizes = []
    for size in (150, 200):
        model = preprocess.train_tokenizer(text, tmp_path / "m", vocab_size=size)
        build = preprocess.build_records(text, tmp_path / "a", model, execution=ALONE)
        sizes.append(build.manifest.vocab_size)
    assert sizes == [150, 200]


def test_importing_loads_nothing(tmp_path):
    code = (
        "import sys, preprocess\n"
        "assert not {'numpy', 'absl', 'tensorflow', 'sentencepiece'} & set(sys.modules)\n"
        "assert set(preprocess.__all__) <= set(dir(preprocess))\n"
        "assert preprocess.UsageError.__mro__[1] is ValueError\n"
        "try:\n"
        "    preprocess.nothing\n"
        "except AttributeError as error:\n"
        "    assert 'nothing' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
        "for name in preprocess.__all__: getattr(preprocess, name)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    command("-c", code)


@pytest.mark.parametrize("name", ["train_tokenizer", "build_records"])
def test_the_examples_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    function = getattr(preprocess, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", preprocess.__all__)
def test_every_name_is_documented(name):
    assert len(getattr(preprocess, name).__doc__.splitlines()) > 1


def test_a_script_needs_no_guard_and_runs_once(text, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import preprocess\n"
        "print('begins')\n"
        "model = preprocess.train_tokenizer({!r}, 'm', vocab_size=200)\n"
        "two = preprocess.Execution(num_workers=2)\n"
        "print(preprocess.build_records({!r}, 'a', model, execution=two).files)\n"
        "print(__file__, __spec__)\n".format(text, text)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=str(tmp_path),
        env=dict(os.environ, PYTHONPATH=ROOT),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begins\n['a']\n{} None\n".format(script)
    assert "%|" not in done.stderr  # no bar in a pipe


def test_bars_are_for_terminals_and_notebooks(monkeypatch):
    shown = []
    monkeypatch.setattr(progress, "progress_bar", lambda **options: shown.append(options) or Bar())
    with progress.Progress("Reading", 10, "B", True) as counted:
        counted.update(1)
    assert not shown and not bars_are_seen()
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", sys)
    assert bars_are_seen()
    with progress.Progress("Reading", 10, "B", True) as counted:
        counted.update(1)
    with progress.Progress("Reading", 10, "B", False) as counted:
        counted.update(1)
    assert [options["desc"] for options in shown] == ["Reading"]


class Bar:
    """A bar that shows nothing."""

    def update(self, amount):
        """Counts nothing."""

    def close(self):
        """Closes nothing."""
