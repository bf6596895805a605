"""What a pre-training begins with: the checkpoint that was named, and the model that it has."""

from typing import Optional

from albert.checkpoints.folder import find_checkpoint
from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.restore import without_absent_final_norm
from albert.formats.importing import ours
from albert.model.config import ModelConfig
from albert.training.options import StartOptions


def beginning_of(name: Optional[str], directory: Optional[str]) -> Optional[str]:
    """The checkpoint that `--init_checkpoint` means; what is not ours is imported.

    Args:
      name: A checkpoint, a folder with one, or what `import` reads; None for no beginning.
      directory: The run's, or None; one that has begun no longer needs what it began from.

    Raises:
      UsageError: It is no checkpoint.
    """
    if not name or directory and latest_checkpoint(directory):
        return name
    return find_checkpoint(ours(name, directory), None)


def model_to_train(
    config: ModelConfig, start: StartOptions, directory: Optional[str]
) -> ModelConfig:
    """The model a run trains: that of the config, but for what its beginning never had.

    Args:
      config: As asked for.
      start: What new weights begin as.
      directory: The run's, or None.
    """
    if not start.init_checkpoint:
        return config
    # A run that has begun no longer needs what it began from.
    begun = latest_checkpoint(directory) if directory else None
    return without_absent_final_norm(config, begun or start.init_checkpoint)
