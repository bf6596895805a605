"""The public face: every name is documented with an example, and tested; examples run."""

import doctest
import glob
import importlib
import os

import pytest
from conftest import ROOT

import albert
import preprocess

FACES = [(face, name) for face in (albert, preprocess) for name in face.__all__]


def example_modules():
    for folder in ("albert", "preprocess", "quickstart"):
        for path in sorted(glob.glob(os.path.join(ROOT, folder, "**", "*.py"), recursive=True)):
            with open(path, encoding="utf-8") as handle:
                if ">>>" in handle.read() and "remote_code" not in path:
                    yield os.path.relpath(path, ROOT)[: -len(".py")].replace(os.sep, ".")


@pytest.mark.parametrize("face,name", FACES, ids=lambda value: getattr(value, "__name__", value))
def test_every_public_name_is_documented_with_an_example_and_tested(face, name):
    documentation = getattr(face, name).__doc__
    assert documentation and len(documentation.splitlines()) > 1
    assert ">>>" in documentation, "no example"
    paths = glob.glob(os.path.join(ROOT, "tests", "test_api_*.py"))
    tests = "".join(open(path, encoding="utf-8").read() for path in paths)
    assert name in tests, "no test of the API names it"


@pytest.mark.parametrize("face", [albert, preprocess], ids=lambda face: face.__name__)
def test_the_faces_show_their_names_and_no_others(face):
    assert set(face.__all__) <= set(dir(face))
    missing = "no_such_name"
    with pytest.raises(AttributeError, match=missing):
        getattr(face, missing)


@pytest.mark.parametrize("module", list(example_modules()))
def test_examples_run(module):
    loaded = importlib.import_module(module)
    finder, runner = doctest.DocTestFinder(recurse=True), doctest.DocTestRunner()
    for test in finder.find(loaded, module):
        # Those of the public functions need files, which the tests of the API make.
        if test.name.split(".")[-1] not in albert.__all__ + preprocess.__all__:
            runner.run(test)
    assert runner.failures == 0
