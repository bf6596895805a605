"""How fast transformers takes the same steps on the same device, where it is installed.

Each size is a process of its own, so that neither side holds the memory of the other.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.model.config import SIZE_FIELDS, ModelConfig
from albert.system.files.side import parse_json
from albert.training.gpu_check.equality import random_batch
from albert.training.gpu_check.speed import MASKED, median_seconds

_NEEDED = ("torch", "transformers")


class Peer(NamedTuple):
    """A step of transformers' AlbertForPreTraining, with AdamW.

    Attributes:
      model: Name of the preset whose sizes it has.
      length: S.
      precision: "float32" or "mixed_bfloat16", as torch's autocast has it.
      batch: Examples, as many as fit.
      sequences: A second, on one device.
    """

    model: str
    length: int
    precision: str
    batch: int
    sequences: float


def measure_peers(models: Sequence[str], lengths: Sequence[int], largest: int) -> List[Peer]:
    """Times the steps that `speed.measure_steps` times; none where transformers is not installed.

    Args:
      models: Names of presets.
      lengths: S.
      largest: Examples at most.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        logging.info("Without transformers beside it: no %s", " and no ".join(missing))
        return []
    found = []
    for precision in ("float32", "mixed_bfloat16"):
        for model in models:
            for length in lengths:
                peer = _measured(model, length, precision, largest)
                if peer:
                    found.append(peer)
    return found


def _measured(model: str, length: int, precision: str, largest: int) -> Optional[Peer]:
    asked = [model, length, precision, largest]
    command = [sys.executable, "-m", __name__, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True)
    lines = done.stdout.decode().splitlines()
    if done.returncode or not lines:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        logging.warning("transformers did not train %s at length %d: %s", model, length, why[-1])
        return None
    batch, sequences = parse_json(lines[-1])
    logging.info("transformers, %s, length %d, %s: %.1f sequences/s", *asked[:3], sequences)
    return Peer(model, length, precision, batch, sequences)


def albert_for_pretraining(ours: ModelConfig) -> Any:
    """Transformers' model of the sizes of one of our configs."""
    from transformers import AlbertConfig, AlbertForPreTraining

    config = AlbertConfig(
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **{name: getattr(ours, name) for name in SIZE_FIELDS},
    )
    return AlbertForPreTraining(config)


def torch_inputs(batch: Mapping[str, np.ndarray], device: str) -> Dict[str, Any]:
    """A batch of ours as arguments of AlbertForPreTraining."""
    import torch

    labels = np.full(batch["input_ids"].shape, -100)
    rows, columns = np.nonzero(batch["masked_lm_weights"])
    places = batch["masked_lm_positions"][rows, columns]
    labels[rows, places] = batch["masked_lm_ids"][rows, columns]
    order = batch["sentence_order_labels"]
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["segment_ids"],
        "labels": labels,
        "sentence_order_label": np.where(order < 0, -100, order),
    }
    return {n: torch.as_tensor(v, dtype=torch.long, device=device) for n, v in inputs.items()}


def torch_step(
    config: ModelConfig,
    batch: Mapping[str, np.ndarray],
    bfloat16: bool = False,
    compiled: bool = False,
) -> Any:
    """A function that makes one update of transformers' model."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = albert_for_pretraining(config).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    run = torch.compile(network) if compiled else network
    inputs = torch_inputs(batch, device)

    def work() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
            loss = run(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())

    return work


def _main(model: str, length: int, precision: str, largest: int) -> None:
    import torch

    config, size = ModelConfig.from_json_file(model), largest
    on_gpu = torch.cuda.is_available()
    while size:
        try:
            batch = random_batch(config, size, length, int(MASKED * length), shortest=1.0)
            # A CPU compiles for minutes, and may have no compiler.
            step = torch_step(config, batch, precision != "float32", compiled=on_gpu)
            step()
            print(json.dumps([size, size / median_seconds(step)]))
            return
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            size //= 2


if __name__ == "__main__":
    _main(*parse_json(sys.argv[1]))
