"""What an installed wheel offers: console commands, their version, files that come with it."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import albert

VERSION = "albert-pretraining {}\n".format(albert.__version__)
SCRIPTS = ("multigpu_pretraining.py", "validation.py", "create-pretraining-data.py")


def section(name):
    """The lines of one table of pyproject.toml; Python 3.7 has no reader of TOML."""
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as handle:
        return handle.read().split("\n[{}]\n".format(name))[1].split("\n[")[0]


CONSOLE = dict(re.findall(r'^(\S+) = "(\S+)"$', section("project.scripts"), re.MULTILINE))


def without_tensorflow(code, *arguments, folder=ROOT):
    """Runs Python in which importing TensorFlow is an error."""
    code = "import sys; sys.modules['tensorflow'] = None; " + code
    return subprocess.run(
        [sys.executable, "-c", code] + list(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=ROOT),
    )


def run_console(name, *arguments):
    module, function = CONSOLE[name].split(":")
    return without_tensorflow("from {0} import {1}; {1}()".format(module, function), *arguments)


def run_file(path, *arguments):
    code = "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return without_tensorflow(code, path, *arguments)


def run_module(name, *arguments):
    code = "import runpy; runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
    return without_tensorflow(code.format(name), *arguments)


def test_the_wheel_has_the_four_commands():
    assert sorted(CONSOLE) == ["albert", "albert-preprocess", "albert-pretrain", "albert-validate"]


@pytest.mark.parametrize("name", sorted(CONSOLE))
def test_a_console_command_says_its_version_without_tensorflow(name):
    done = run_console(name, "--version")
    assert (done.returncode, done.stdout) == (0, VERSION)


@pytest.mark.parametrize("name", ["albert", "preprocess"])
def test_a_module_says_its_version_without_tensorflow(name):
    done = run_module(name, "--version")
    assert (done.returncode, done.stdout) == (0, VERSION)


@pytest.mark.parametrize("command", ["pretrain", "validate", "finetune"])
def test_a_sub_command_says_its_version_without_tensorflow(command):
    done = run_console("albert", command, "--model=tiny", "--version")
    assert (done.returncode, done.stdout) == (0, VERSION)


@pytest.mark.parametrize("command", ["pretrain", "validate", "finetune"])
def test_help_and_wrong_flags_do_not_wait_for_tensorflow(command):
    shown = run_console("albert", command, "--help")
    assert shown.returncode == 0 and "--precision=float32|" in shown.stdout
    wrong = run_console("albert", command, "--train_batch_sise=4")
    assert (wrong.returncode, wrong.stdout.count("\n")) == (2, 1)
    assert "did you mean --train_batch_size?" in wrong.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_says_its_version_without_tensorflow(script):
    done = run_file(script, "--version")
    assert (done.returncode, done.stdout) == (0, VERSION)


def test_a_word_after_two_dashes_is_a_text_and_not_a_flag():
    done = run_console("albert-preprocess", "inspect", "--", "--version")
    assert done.returncode == 2 and "--version matches no file" in done.stdout


def test_albert_alone_shows_its_commands_without_tensorflow():
    done = run_console("albert")
    assert done.returncode == 0 and done.stdout.startswith("usage: albert COMMAND --help\n")
    for command in ("pretrain", "validate", "finetune", "predict"):
        assert "\n  {} ".format(command) in done.stdout
    wrong = run_console("albert", "train")
    assert wrong.returncode == 2 and "There is no command 'train'" in wrong.stdout


@pytest.mark.parametrize(
    "module, words, said",
    [
        ("albert.run_pretraining", ["--version"], VERSION),
        ("albert.create_pretraining_data", ["--version"], VERSION),
        ("calbert", ["train_tokenizer", "--input-file", "a.txt"], "instead: python -m preprocess"),
        ("calbert", ["export", "--version"], VERSION),
        ("albert", ["trian"], "no command 'trian'; did you mean pretrain?"),
    ],
)
def test_entries_of_other_systems_work_or_say_what_does_their_work(module, words, said):
    done = run_module(module, *words)
    assert said in done.stdout and "Traceback" not in done.stdout
    assert done.returncode == (0 if said == VERSION else 2)


def test_albert_preprocess_alone_shows_its_commands():
    done = run_console("albert-preprocess")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: albert-preprocess COMMAND --help\n")
    assert "\n  records " in done.stdout


@pytest.mark.parametrize(
    "argv", [["-m", "albert", "pretrain"], ["multigpu_pretraining.py"]], ids=" ".join
)
def test_what_it_says_to_type_can_be_typed(argv, tmp_path):
    """A machine without GPUs is told the same command for its CPU."""
    flags = ["--input_file=x", "--output_dir={}".format(tmp_path)]
    flags += ["--albert_config_file=nano", "--use_gpu"]
    done = subprocess.run([sys.executable] + argv + flags, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    start = "python " if argv[0] == "-m" else "python3 "
    kept = argv + flags[:-1] + ["--use_gpu=False", "--num_gpu_cores=1"]
    assert done.stderr.endswith("on the CPU: {}\n".format(start + " ".join(kept)))


def test_the_version_is_a_plain_string_that_the_wheel_can_read():
    assert re.match(r"\d+\.\d+\.\d+$", importlib.import_module("albert").__version__)
    assert 'attr = "albert.__version__"' in section("tool.setuptools.dynamic")


def test_packages_have_types():
    for package in ("albert", "preprocess"):
        assert os.path.isfile(os.path.join(ROOT, package, "py.typed"))
        assert '{} = ["py.typed"]'.format(package) in section("tool.setuptools.package-data")
