"""SavedModels: served by TensorFlow alone, for any batch, with the values of the model."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import SEQUENCE, random_batch
from test_import_export import export_run, small_run

from albert.compat import tf
from albert.model.albert import pretraining_output
from albert.model.parameters import initial_values

# Runs elsewhere, without this package; writes what each signature returns.
SERVER = """
import sys
import numpy as np
sys.modules["albert"] = None  # whoever imports it fails
import tensorflow
tf = tensorflow.compat.v2
tf.compat.v1.enable_v2_behavior()
model = tf.saved_model.load(sys.argv[1])
batch = dict(np.load(sys.argv[2]))
found = {}
for name in ("encode", "fill_mask", "sentence_order"):
    function = model.signatures[name]
    wanted = function.structured_input_signature[1]
    outputs = function(**{key: tf.constant(batch[key]) for key in wanted})
    found.update({name + "/" + key: value.numpy() for key, value in outputs.items()})
np.savez(sys.argv[3], **found)
"""


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_plain_tensorflow_serves_it(layout, tmp_path):
    config = small_run(tmp_path / "run", layout)
    export_run(tmp_path, "savedmodel")
    where = tmp_path / "elsewhere"
    where.mkdir()
    tensors = {k: tf.constant(v) for k, v in initial_values(config, 3).items()}
    for size, length in ((5, SEQUENCE), (2, 9)):  # neither was known when it was written
        batch = {
            name: value if name == "masked_lm_positions" else value[:, :length]
            for name, value in random_batch(size).items()
            if value.ndim == 2 and value.dtype == np.int32
        }
        batch["masked_lm_positions"] = np.minimum(batch["masked_lm_positions"], length - 1)
        np.savez(str(where / "batch.npz"), **batch)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", SERVER, str(tmp_path / "out"), "batch.npz", "found.npz"],
            cwd=str(where),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout.decode()
        ours = pretraining_output(config, tensors, {k: tf.constant(v) for k, v in batch.items()})
        expected = {
            "encode/sequence_output": ours.encoder.sequence,
            "encode/pooled_output": ours.encoder.pooled,
            "fill_mask/logits": ours.masked_lm_logits,
            "sentence_order/logits": ours.sentence_order_logits,
        }
        with np.load(str(where / "found.npz")) as found:
            assert set(found.files) == set(expected)
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5, err_msg=name)


def test_no_operation_needs_a_compiler_on_the_server(tmp_path):
    small_run(tmp_path / "run", "google")
    export_run(tmp_path, "savedmodel")
    with open(str(tmp_path / "out" / "saved_model.pb"), "rb") as handle:
        graph = handle.read()
    assert b"Tanh" in graph and b"_XlaMustCompile\x12\x02(\x01" not in graph
