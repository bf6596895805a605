"""SavedModels: served by TensorFlow alone, for any batch, with the values of the model."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import SEQUENCE, encoded, random_batch
from test_import_export import export_run, small_run

from albert.compat import tf
from albert.model.albert import pretraining_output
from albert.model.initial import initial_values

# Runs elsewhere, without this package; writes what each signature returns for each batch.
SERVER = """
import sys
import numpy as np
sys.modules["albert"] = None  # whoever imports it fails
import tensorflow
tf = tensorflow.compat.v2
tf.compat.v1.enable_v2_behavior()
model = tf.saved_model.load(sys.argv[1])
for path in sys.argv[2:]:
    batch = dict(np.load(path))
    found = {}
    for name in ("encode", "fill_mask", "sentence_order"):
        function = model.signatures[name]
        wanted = function.structured_input_signature[1]
        outputs = function(**{key: tf.constant(batch[key]) for key in wanted})
        found.update({name + "/" + key: value.numpy() for key, value in outputs.items()})
    np.savez(path + ".found", **found)
ids = {name: tf.ones([1, 42], tf.int32) for name in ("input_ids", "input_mask", "segment_ids")}
try:
    model.signatures["serving_default"](**ids)
except tf.errors.InvalidArgumentError as error:
    print(error)
"""


def request(size, length):
    """A batch of any size and length, as a client sends it."""
    batch = random_batch(size)
    names = ("input_ids", "input_mask", "segment_ids")
    cut = {name: batch[name][:, :length] for name in names}
    return dict(cut, masked_lm_positions=np.minimum(batch["masked_lm_positions"], length - 1))


MODERN = {"hidden_act": "geglu", "position_embedding_type": "rotary", "hidden_size": 18}
NYSTROM = {"attention": "nystrom", "num_landmarks": 6, "conv_kernel_size": 3}


@pytest.mark.parametrize(
    "layout, variant",
    [("google", {}), ("brightmart", {}), ("brightmart", MODERN), ("google", NYSTROM)],
    ids=str,
)
def test_plain_tensorflow_serves_it(layout, variant, tmp_path):
    config = small_run(tmp_path / "run", layout, **variant)
    export_run(tmp_path, "savedmodel")
    # Neither size nor length was known when it was written.
    batches = [request(5, SEQUENCE), request(2, 9)]
    paths = [str(tmp_path / "{}.npz".format(number)) for number in range(2)]
    for path, batch in zip(paths, batches):
        np.savez(path, **batch)
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(tmp_path / "out")] + paths,
        cwd=str(tmp_path),
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed
    assert "A row has more pieces than the 41 the model takes." in printed
    tensors = {k: tf.constant(v) for k, v in initial_values(config, 3).items()}
    for path, batch in zip(paths, batches):
        ours = pretraining_output(config, tensors, {k: tf.constant(v) for k, v in batch.items()})
        everywhere = encoded(config, tensors, batch)
        expected = {
            "encode/sequence_output": everywhere.sequence,
            "encode/pooled_output": everywhere.pooled,
            "fill_mask/logits": ours.masked_lm_logits,
            "sentence_order/logits": ours.sentence_order_logits,
        }
        with np.load(path + ".found.npz") as found:
            assert set(found.files) == set(expected)
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5, err_msg=name)


def test_no_operation_needs_a_compiler_on_the_server(tmp_path):
    small_run(tmp_path / "run", "google")
    export_run(tmp_path, "savedmodel")
    with open(str(tmp_path / "out" / "saved_model.pb"), "rb") as handle:
        graph = handle.read()
    assert b"Tanh" in graph and b"_XlaMustCompile\x12\x02(\x01" not in graph
