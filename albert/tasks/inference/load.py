"""A folder as a model at work: `albert.load`."""

from typing import Any, Optional, Union

from albert.checkpoints.folder import folder_of, open_checkpoint
from albert.checkpoints.tokenizer import find_tokenization
from albert.formats.importing import ours
from albert.system.devices import choose_device
from albert.system.errors import check_at_least
from albert.tasks.folder import open_fine_tuned, refuse_options_of_runs
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.pretrained import PretrainedModel
from albert.tasks.task import read_task

_MAX_LENGTH = 512


def load(
    folder: Any,
    checkpoint: Optional[str] = None,
    *,
    albert_config_file: Optional[str] = None,
    spm_model_file: Optional[str] = None,
    do_lower_case: Optional[bool] = None,
    keep_accents: Optional[bool] = None,
    max_seq_length: Optional[int] = None,
    batch_size: int = 32,
    use_gpu: Optional[bool] = None,
) -> Union[PretrainedModel, TaskModel]:
    """Loads a pre-trained or a fine-tuned model.

    Args:
      folder: Of a run or of a fine-tuned model: its path, or what `pretrain` or `finetune`
        returned; or a folder or archive that `import` reads. None with a `checkpoint` for the
        folder that is in.
      checkpoint: Which one of a run; the best if None, or the latest where none was kept as the
        best.
      albert_config_file: Config of the model; the run's own if None.
      spm_model_file: Tokenizer; that of the run's records if None.
      do_lower_case: Whether text is lower-cased; as in the run's records if None.
      keep_accents: Whether text keeps its combining marks; likewise.
      max_seq_length: Most pieces of a text, special ones included, whose end is lost beyond; 512
        or what the model takes if None.
      batch_size: Texts computed together.
      use_gpu: A GPU or the CPU; a GPU where there is one if None.

    Returns:
      Of a run a model with `fill_mask`, `sentence_order` and `embed`; of a fine-tuned model's
      folder, which takes none of the options but `batch_size` and `use_gpu`, one with `predict`.

    Raises:
      UsageError: Something is missing or does not fit, or an option has no meaning here.

    Example:
      >>> import albert
      >>> model = albert.load("run")
      >>> (answer,) = model.fill_mask(["saya makan [MASK] ."], top_k=3)
      >>> len(answer["masks"]), len(answer["masks"][0])
      (1, 3)
      >>> (answer,) = model.embed(["saya makan nasi"])
      >>> sorted(answer)
      ['embedding', 'text']
      >>> (answer,) = albert.load("emotion").predict(["gembira sekali"])
      >>> sorted(answer)
      ['label', 'probabilities', 'text']
    """
    check_at_least("batch_size", batch_size, 1)
    wanted = _MAX_LENGTH if max_seq_length is None else max_seq_length
    check_at_least("max_seq_length", wanted, 8)
    directory = None if folder is None else ours(folder_of(folder))
    device = choose_device(use_gpu)
    if directory is not None and read_task(directory):
        refuse_options_of_runs(
            directory,
            checkpoint=checkpoint,
            albert_config_file=albert_config_file,
            spm_model_file=spm_model_file,
            do_lower_case=do_lower_case,
            keep_accents=keep_accents,
            max_seq_length=max_seq_length,
        )
        return TaskModel(open_fine_tuned(directory), device, batch_size)
    found = open_checkpoint(directory, checkpoint, albert_config_file, whole=False)
    how = find_tokenization(found.directory, spm_model_file, do_lower_case, keep_accents)
    length = min(wanted, found.config.max_position_embeddings)
    return PretrainedModel(found.config, found.weights, how, device, batch_size, length)
