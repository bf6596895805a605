"""Validation of a checkpoint over whole files, as a command asks for it."""

import os
from typing import Dict, Sequence

from absl import flags, logging

from albert.checkpoints.folder import find_checkpoint
from albert.checkpoints.restore import load_model
from albert.checkpoints.results import log_results, write_results
from albert.compat import tf
from albert.data.pipeline import evaluation_batches
from albert.data.prefetch import prefetch
from albert.data.source import log_features, open_data
from albert.evaluation import evaluate
from albert.model.config import ModelConfig
from albert.system.devices import choose_xla
from albert.system.files import ensure_writable_directory
from albert.training.objective import pretraining
from albert.training.step import make_eval_step
from albert.training.towers import check_batch_size

FLAGS = flags.FLAGS


def validate(config: ModelConfig, devices: Sequence[str]) -> Dict[str, float]:
    """Evaluates a checkpoint on --eval_file, else --input_file, each record exactly once.

    Logs the results and writes them to `eval_results.txt` in --output_dir.

    Raises:
      UsageError: Records or checkpoint are missing or do not fit.
    """
    prefix = find_checkpoint(FLAGS.checkpoint, FLAGS.output_dir)
    directory = FLAGS.output_dir or os.path.dirname(prefix) or "."
    if not FLAGS.no_save:
        ensure_writable_directory(directory, "--output_dir")
    if FLAGS.do_train and not FLAGS.eval_file:
        logging.warning("Evaluating on the training files; pass held-out ones by --eval_file")
    flag = "eval_file" if FLAGS.eval_file else "input_file"
    batch_size = FLAGS.eval_batch_size or 8 * len(devices)
    check_batch_size(batch_size, len(devices), "eval_batch_size")
    data = open_data(
        FLAGS[flag].value,
        flag,
        config,
        FLAGS.max_seq_length,
        FLAGS.max_predictions_per_seq,
        not FLAGS.tqdm_off,
    )
    log_features(data.shapes, batch_size)
    saved = load_model(config, prefix)
    with tf.device(devices[0]):
        weights = {name: tf.Variable(value) for name, value in saved.weights.items()}
    logging.info("***** Running evaluation *****")
    logging.info("  Checkpoint = %s", prefix)
    logging.info("  Batch size = %d", batch_size)
    layout = data.layout(FLAGS.padding, batch_size, len(devices))
    batches = evaluation_batches(
        data.dataset, data.shapes, layout, batch_size, FLAGS.max_eval_steps
    )
    xla = choose_xla(FLAGS.xla, devices, FLAGS.precision)
    eval_step = make_eval_step(pretraining(config), weights, devices, FLAGS.precision, xla)
    results = evaluate(eval_step, prefetch(batches))
    log_results(results, saved.global_step)
    if not FLAGS.no_save:
        write_results(results, saved.global_step, directory)
    return results
