"""Odd values of every flag of every command: each is taken, or refused with a sentence.

In this process, up to where the work begins. ALBERT_FAULTS says how many command lines each command
gets.
"""

import collections
import contextlib
import json
import os
import random
import resource
import shutil
import sys

import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import write_record_file
from malay import sentences
from preprocess_corpus import write_text
from test_import_export import flags_of_a_new_process, small_run

import albert.__main__
import preprocess.__main__
from albert.commands import flags as training_flags
from albert.commands import pretrain, validate
from albert.system.command_line import own_flags
from faults.test_damage import LINES, SETTINGS, bounded

TIMES = int(os.environ.get("ALBERT_FAULTS", "12"))
MEMORY = 4 << 30  # bytes beyond what the process has: nobody allocates what a flag says
LONGEST = 3000  # characters of a refusal
TEXTS = (
    r", a,b ,, = a=1 * [ { ( \ ' -- - : a:b a:99999 .. . ~ %s {} {0} true None 名 ١ 0x10".split()
)
NUMBERS = "0 -1 1 7 1000000 2147483648 9223372036854775808 1e400 1e-400 nan inf -inf 0.5 -0.0 1_000"
PLACES = (
    "/proc/nothing http://127.0.0.1:1/a.tar.gz ftp://a/b file:///x FOLDER FILE EMPTY RECORDS RUN"
)
NUMBERS = [*NUMBERS.split(), "1" * 30, "9" * 5000]
ODD = [*TEXTS, *NUMBERS, *PLACES.split(), "x" * 300, "x" * 5000]
ODD += ["", " ", "\x1b[31m", "a\nb", "a\tb", "\udc80", "\u202e"]
TRAINING = {
    "input_file": "train.tfrecord",
    "albert_config_file": "run/albert_config.json",
    "train_batch_size": 4,
    "num_train_steps": 9,
    "num_gpu_cores": 1,
    "use_gpu": False,
    "tqdm_off": True,
    "output_dir": "out",
}
OF_RUN = {"output_dir": "run"}
COMMANDS = {
    "albert check-gpu": {"rehearse": True, "output_dir": "out"},
    "albert compare": {},
    "albert diagnose": {},
    "albert export": dict(OF_RUN, export_dir="out"),
    "albert finetune": {
        "task": "classification",
        "init_checkpoint": "run",
        "train_file": "rows.tsv",
        "output_dir": "out",
        "use_gpu": False,
        "num_gpu_cores": 1,
    },
    "albert import": {"source": "run/model.ckpt-7", "output_dir": "out"},
    "albert launch": {},
    "albert pack": dict(OF_RUN, archive="out/a.tar.gz"),
    "albert predict": dict(OF_RUN, task="fill-mask", use_gpu=False),
    "albert pretrain": TRAINING,
    "albert recipes": {},
    "albert report": OF_RUN,
    "albert unpack": {"archive": "a.tar.gz", "output_dir": "out"},
    "albert validate": dict(OF_RUN, input_file="train.tfrecord", use_gpu=False, num_gpu_cores=1),
    "albert verify": {},
    "preprocess clean": {
        "input_file": "text.txt",
        "output_file": "out/clean.txt",
        "fix_mojibake": False,  # where ftfy is not installed
    },
    "preprocess inspect": {"spm_model_file": "run/tokenizer.model"},
    "preprocess records": {
        "input_file": "text.txt",
        "output_file": "out/a.tfrecord",
        "spm_model_file": "run/tokenizer.model",
    },
    "preprocess tokenizer": {"input_file": "text.txt", "out_dir": "out"},
}
WORDS = {
    "albert compare": ["run"],
    "albert diagnose": ["run"],
    "albert launch": ["--", "pretrain"],
    "albert predict": ["--", "saya [MASK] nasi"],
    "albert verify": ["run"],
    "preprocess inspect": ["train.tfrecord"],
}


class Begins(Exception):
    """The work begins."""


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    def begin(*some, **named):
        raise Begins

    for place in (
        "albert.training.pretraining.make_learner",
        "albert.training.memory.find_batch_size.search",
        "albert.training.evaluation.make_eval_step",
        "albert.training.gpu_check.equality.check_equality",
        "albert.tasks.finetuning.search.finetune_rows",
        "albert.tasks.inference.pretrained.PretrainedModel._run",
        "albert.formats.release.verify._compute",
        "albert.hosts.launch.run_here",
        "albert.hosts.on_ray.run_on_ray",
        "preprocess.engines.start",
        "preprocess.engines.apart",
    ):
        monkeypatch.setattr(place, begin)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What the commands are about."""
    folder = tmp_path_factory.mktemp("flags") / "place" / "given"
    folder.mkdir(parents=True)
    small_run(folder / "run", "google")
    metrics = "".join(json.dumps(one) + "\n" for one in LINES)
    (folder / "run" / "metrics.jsonl").write_text(metrics)
    (folder / "run" / "diagnosis_settings.json").write_text(json.dumps(SETTINGS))
    write_record_file(folder / "train.tfrecord", 20)
    write_text(str(folder / "text.txt"), [sentences(9, 1)] * 3)
    rows = "\n".join("{}\t{}".format(text, n % 2) for n, text in enumerate(sentences(20, 0)))
    (folder / "rows.tsv").write_text("text\tlabel\n" + rows + "\n")
    (folder / "EMPTY").write_text("")
    (folder / "FILE").write_text("a b\n")
    (folder / "FOLDER").mkdir()
    (folder / "FOLDER" / "a").write_text("")
    shutil.copytree(str(folder / "run"), str(folder / "RUN"))
    shutil.copyfile(str(folder / "train.tfrecord"), str(folder / "RECORDS"))
    pairs = ("--output_dir={}", folder / "run"), ("--archive={}", folder / "a.tar.gz")
    assert _code("albert pack", [flag.format(value) for flag, value in pairs]) == 0
    return folder


def _code(command, words):
    """The exit code of a command in this process; None where its work would begin."""
    program, name = command.split()
    shared = {"pretrain": pretrain, "validate": validate}.get(name)
    with contextlib.ExitStack() as stack:
        try:
            if shared:
                stack.enter_context(flagsaver.flagsaver())
                return shared.main([name, *words])
            stack.enter_context(flags_of_a_new_process())
            {"albert": albert, "preprocess": preprocess}[program].__main__.run(
                [program, name, *words]
            )
        except SystemExit as ended:
            return ended.code
        except Begins:
            return None


def _flags(command):
    """The names of a command's flags."""
    program, name = command.split()
    if name in ("pretrain", "validate"):
        return own_flags(training_flags.__name__)
    module = name.replace("-", "_") + ("_" if name == "import" else "")
    module = "{}.commands.{}".format(program, module)
    with flags_of_a_new_process():
        sys.modules.get(module) or __import__(module)
        before = set(flags.FLAGS)
        getattr(sys.modules[module], "define_flags", list)()
        return sorted(set(flags.FLAGS) - before)


def line(command, names, seed):
    """A command line with one or two odd values; the first has none."""
    chance = random.Random("{} {}".format(command, seed))
    values = dict(COMMANDS[command])
    for name in chance.sample(names, min(len(names), chance.choice((1, 1, 2)) if seed else 0)):
        values[name] = chance.choice(chance.choice((ODD, NUMBERS)))
    words = list(WORDS.get(command, []))
    if words and seed and chance.random() < 0.2:
        words[-1] = chance.choice(ODD)
    return ["--{}={}".format(name, value) for name, value in sorted(values.items())] + words


@contextlib.contextmanager
def little_memory():
    """As much as the process has, and `MEMORY`."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as handle:
        own = int(handle.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_an_odd_value_is_taken_or_refused(command, given, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = _flags(command)
    ended = collections.Counter()
    wrong = []
    for seed in range(TIMES):
        place = tmp_path / "place" / str(seed)
        shutil.copytree(str(given), str(place))
        monkeypatch.chdir(str(place))
        words = line(command, names, seed)
        code = "none"
        try:
            with bounded(), little_memory():
                code = _code(command, words)
        except BaseException as error:
            wrong.append((words, repr(error)))
        said = capfd.readouterr().err
        told = code != 2 or said.count("ERROR: ") == 1
        if code not in (None, 0, 1, 2) or not told or "\x1b" in said or len(said) > LONGEST:
            wrong.append((words, code, said))
        ended[code] += 1
        monkeypatch.chdir(str(tmp_path))
        shutil.rmtree(str(place))
        assert seed or code != 2, said  # the first is as it should be
    print("{}: {} command lines, {} refused".format(command, TIMES, ended[2]))
    assert not wrong, "\n".join(map(str, wrong))
