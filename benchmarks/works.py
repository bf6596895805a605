"""The contenders: one training step of ours, one of transformers, and matrix products alone."""

import dataclasses
import functools

import numpy as np

from albert.model.config import ModelConfig
from albert.training.gpu_check.peer import torch_step


def random_batch(config, batch, length, predictions, seed=0):
    """A full batch of random pieces of a model's vocabulary, in NumPy."""
    random = np.random.RandomState(seed)
    positions = np.sort(
        np.argsort(random.rand(batch, length - 2), axis=1)[:, :predictions] + 1, axis=1
    )
    arrays = {
        "input_ids": random.randint(5, config.vocab_size, (batch, length)),
        "input_mask": np.ones((batch, length)),
        "segment_ids": np.arange(length)[np.newaxis] * np.ones((batch, 1)) > length // 2,
        "masked_lm_positions": positions,
        "masked_lm_ids": random.randint(5, config.vocab_size, (batch, predictions)),
        "sentence_order_labels": random.randint(0, 2, batch),
    }
    arrays = {name: value.astype(np.int32) for name, value in arrays.items()}
    arrays["masked_lm_weights"] = np.ones((batch, predictions), np.float32)
    return arrays


def ours(model="base", batch=8, length=128, predictions=20, changes=None, **options):
    """A training step of this project on random full rows; `changes` are fields of the config."""
    config = dataclasses.replace(ModelConfig.from_json_file(model), **(changes or {}))
    return _our_step(config, random_batch(config, batch, length, predictions), **options)


def ours_on_records(path, model="base", batch=16, padding="pack", **options):
    """A training step of this project on real records; `note` is its number of real tokens."""
    from albert.data.packing import row_layout

    config = ModelConfig.from_json_file(model)
    data = read_batch(config, path, batch)
    layout = row_layout(padding, batch, 1, data)
    work = _our_step(config, layout(data), **options)
    work.note = int(data["input_mask"].sum())
    return work


def read_batch(config, path, batch):
    """Evenly spaced records of a file as one padded batch."""
    from albert.data.dataset import RecordDataset, Shapes

    dataset = RecordDataset([path])
    shapes = Shapes(*(dataset.record_lengths() + (config.vocab_size, config.type_vocab_size)))
    return dataset.read(np.linspace(0, dataset.size - 1, batch).astype(int), shapes)


def _our_step(
    config, data, towers=0, gpu=False, optimizer="adamw", xla=False, hosts=None, **options
):
    from albert.checkpoints.state import create_state
    from albert.hosts.group import ALONE
    from albert.model.initial import initial_values
    from albert.optim.optimizers import OptimizerConfig, make_optimizer
    from albert.optim.schedules import polynomial_with_warmup
    from albert.system.devices import choose_devices
    from albert.training.step.objective import pretraining
    from albert.training.step.step import StepOptions, make_train_step

    rows = [len(data["input_ids"])]
    hosts = hosts or ALONE
    join = functools.partial(hosts.join, 60.0) if hosts.count > 1 else None
    devices = choose_devices(gpu, towers or int(gpu), [], rows, "on" if xla else "off", join)
    hosts.use(devices[0])
    schedule = polynomial_with_warmup(1e-4, 10**6)
    values = initial_values(config, seed=0)
    rule = make_optimizer(OptimizerConfig(name=optimizer), schedule, values)
    chosen = StepOptions(xla=xla, **options)
    state = create_state(values, rule, devices[0], chosen.precision)
    step = make_train_step(pretraining(config), state, rule, schedule, devices, 0, chosen, hosts)

    def work():
        result = step(data)
        float(result.gradient_norm)
        return result

    return work


def products(model="base", batch=8, length=128, predictions=20, bfloat16=False):
    """The matrix products of a training step and nothing between them.

    Each has the shape it has in a step and runs as often, on as many towers; operands are random
    and the same in every layer but the last, which is computed at few positions.
    """
    from albert.compat import compiled, tf
    from albert.model.layers import dense
    from albert.model.parameters import Dense, parameter_tree
    from albert.system.devices import choose_devices

    devices = choose_devices(False, 0, [], [batch])
    share = batch // len(devices)
    config = ModelConfig.from_json_file(model)
    e, d, i = config.embedding_size, config.hidden_size, config.intermediate_size
    heads, tokens, masked = config.num_attention_heads, share * length, share * predictions
    random = np.random.RandomState(0)

    def matrix(*shape):
        kind = tf.bfloat16 if bfloat16 else tf.float32
        return tf.cast(tf.constant(random.randn(*shape), tf.float32), kind)

    def linear(rows, inputs, outputs, transposed=False):
        kernel = matrix(outputs, inputs) if transposed else matrix(inputs, outputs)
        return matrix(rows, inputs), kernel, matrix(rows, outputs)

    def run_linear(inputs, kernel, upstream, transposed=False):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = dense(inputs, Dense(kernel, None), transposed)
        return [outputs] + tape.gradient(outputs, [inputs, kernel], upstream)

    def run_block(maps, scores, queries, keys):
        done = [run_linear(*operands) for operands in maps]
        for _ in ("forward", "gradient"):
            done.append(tf.matmul(queries, keys, transpose_b=True))
            done.append(tf.matmul(scores, keys))
            done.append(tf.matmul(scores, queries, transpose_a=True))
        return done

    def run_ends(projection, transforms, table):
        done = [run_linear(*operands) for operands in [projection] + transforms]
        return done + [run_linear(*table, transposed=True)]

    def attention(queries):
        return (
            matrix(share, heads, queries, length),
            matrix(share, heads, queries, d // heads),
            matrix(share, heads, length, d // heads),
        )

    widths = [(d, d), (d, i), (i, d)]
    block = ([linear(tokens, *width) for width in [(d, 3 * d)] + widths],) + attention(length)
    read = share * (predictions + 1)
    last = [linear(tokens, d, 2 * d)] + [linear(read, *width) for width in [(d, d)] + widths]
    last_block = (last,) + attention(predictions + 1)
    transforms = [(d, e)] if config.layout == "google" else [(d, d), (d, e)]
    ends = (
        linear(tokens, e, d),
        [linear(masked, *width) for width in transforms],
        linear(masked, e, config.vocab_size, transposed=True),
    )

    def on_every_tower(run):
        def run_all(*operands):
            done = []
            for device in devices:
                with tf.device(device):
                    done.append(run(*operands))
            return done

        return compiled(run_all)

    run_block, run_ends = on_every_tower(run_block), on_every_tower(run_ends)

    def work():
        for _ in parameter_tree(config).blocks[1:]:
            run_block(*block)
        done = run_block(*last_block) + run_ends(*ends)
        float(tf.cast(tf.nest.flatten(done)[-1][0, 0], tf.float32))  # waits for all before it

    return work


def transformers(model="base", batch=8, length=128, predictions=20, **options):
    """A training step of transformers' AlbertForPreTraining on random full rows."""
    config = ModelConfig.from_json_file(model)
    return torch_step(config, random_batch(config, batch, length, predictions), **options)


def transformers_on_records(path, model="base", batch=16, longest=False, **options):
    """The same on real records, padded to their full length or to the longest of the batch."""
    config = ModelConfig.from_json_file(model)
    data = read_batch(config, path, batch)
    tokens = int(data["input_mask"].sum())
    if longest:
        length = int(data["input_mask"].sum(axis=1).max())
        for name in ("input_ids", "input_mask", "segment_ids"):
            data[name] = data[name][:, :length]
    work = torch_step(config, data, **options)
    work.note = tokens
    return work


MATMUL_SIZE = 2048
MATMULS = 8


def matmuls(bfloat16=False):
    """Eight matrix products of 2048 x 2048 each: the floor."""
    from albert.compat import compiled, tf

    matrix = tf.ones([MATMUL_SIZE, MATMUL_SIZE], tf.bfloat16 if bfloat16 else tf.float32)

    def chain(product):
        for _ in range(MATMULS):
            product = tf.matmul(matrix, product)
        return product[0, 0]

    run = compiled(chain)

    def work():
        float(tf.cast(run(matrix), tf.float32))

    return work


def matmul_flops():
    """Operations of one call of `matmuls`' work."""
    return MATMULS * 2.0 * MATMUL_SIZE**3
