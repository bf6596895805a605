"""Command lines in circulation, in the spelling of this project."""

from typing import Container, List, Sequence

_QUICK_LOOK = "0.1"  # what --small means alone

# What commands in circulation pass to a script that does not define it: flags of Google's ALBERT,
# of the Malay project and of brightmart's.
ORIGINAL_FLAGS = frozenset(
    """
    albert_config_file albert_hub_module_handle bert_config_file cached_dir data_dir do_eval
    do_lower_case do_permutation do_predict do_train do_whole_word_mask dupe_factor eval_batch_size
    export_dir favor_shorter_ngram gcp_project gzip_compress init_checkpoint init_from_group0
    input_file input_file_mode iterations_per_loop keep_checkpoint_max learning_rate
    masked_lm_budget masked_lm_prob master max_eval_steps max_ngram_size max_predictions_per_seq
    max_seq_length meta_data_file_path ngram non_chinese num_gpu_cores num_tpu_cores
    num_train_steps num_warmup_steps optimizer output_dir output_file poly_power
    predict_batch_size random_next_sentence random_seed save_checkpoints_steps short_seq_prob
    spm_model_file start_warmup_step task_name threshold_to_export tpu_name tpu_zone
    train_batch_size train_step use_gpu use_tpu use_v2_feature_names vocab_file warmup_step
    """.split()
)


def respelled(words: Sequence[str], known: Container[str]) -> List[str]:
    """A command line as its flags are defined here.

    In names a dash is an underscore; `--cpu` and `--small` without a share are switches.

    Args:
      words: The arguments.
      known: Flags that the command has.

    >>> respelled(["--out-dir=a-b", "--cpu", "--small"], ["out_dir", "use_gpu", "small"])
    ['--out_dir=a-b', '--use_gpu=False', '--small=0.1']
    """
    found = []
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            word = "--" + name[2:].replace("-", "_") + equals + value
        if word == "--cpu" and "use_gpu" in known:
            word = "--use_gpu=False"
        if word == "--small" and "small" in known and not _is_number(following):
            word = "--small=" + _QUICK_LOOK
        found.append(word)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
