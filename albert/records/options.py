"""What a build of records is made from."""

import dataclasses
import math
from typing import List

from albert.system.errors import UsageError, check_between, check_one_of
from albert.system.files.names import shard_names

SENTENCE_TASKS = ("sop", "nsp", "none")
MASKINGS = ("static", "dynamic")
COMPRESSIONS = ("none", "gzip")
MAX_SHARDS = 10000


@dataclasses.dataclass(frozen=True)
class RecordOptions:
    """Everything that determines the bytes of the records. Names are those of Google's flags.

    Attributes:
      input_file: A comma list of files, globs and folders of text; plain text is UTF-8, a
        sentence a line, a blank line between documents.
      output_file: One name or a comma list; the examples are dealt out in turn.
      spm_model_file: The SentencePiece model.
      do_lower_case: Lower-case the text.
      keep_accents: False strips combining marks, as the originals do. That damages scripts which
        write vowels with them, so it is not the default.
      sentence_task: "sop" (swapped segments), "nsp" (random second segment) or "none".
      masking: "static" draws the masks now; "dynamic" leaves them to the training.
      max_predictions_per_seq: 0 means ceil(masked_lm_prob * max_seq_length).
      num_shards: Above 1, `output_file` is one name and becomes name-00000-of-0000N and so on.
      min_pieces: Examples of a single segment with fewer pieces are dropped and counted.
      text_format: Of the files; "auto" knows it by its bytes and the names of the files.
      text_field: Path of the text in JSON or a table, keys joined by dots; "" takes the field with
        most text.

    The other attributes are Google's flags of the same names.
    """

    input_file: str
    output_file: str
    spm_model_file: str
    do_lower_case: bool = False
    keep_accents: bool = True
    do_whole_word_mask: bool = True
    do_permutation: bool = False
    favor_shorter_ngram: bool = True
    sentence_task: str = "sop"
    masking: str = "static"
    max_seq_length: int = 512
    ngram: int = 3
    max_predictions_per_seq: int = 0
    random_seed: int = 12345
    dupe_factor: int = 5
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    num_shards: int = 1
    compression: str = "none"
    min_pieces: int = 4
    text_format: str = "auto"
    text_field: str = ""

    def __post_init__(self) -> None:
        check_one_of("sentence_task", self.sentence_task, SENTENCE_TASKS)
        check_one_of("masking", self.masking, MASKINGS)
        check_one_of("compression", self.compression, COMPRESSIONS)
        check_between("max_seq_length", self.max_seq_length, 8, 65000)
        check_between("ngram", self.ngram, 1, 64)
        most = self.max_seq_length
        check_between("max_predictions_per_seq", self.max_predictions_per_seq, 0, most)
        check_between("dupe_factor", self.dupe_factor, 1, 10000)
        check_between("masked_lm_prob", self.masked_lm_prob, 0, 1)
        check_between("short_seq_prob", self.short_seq_prob, 0, 1)
        check_between("num_shards", self.num_shards, 1, MAX_SHARDS)
        check_between("min_pieces", self.min_pieces, 1, most)
        if len(set(self.output_files)) < max(1, len(self.output_files)):
            raise UsageError(
                "--output_file={} must name files, each once.".format(self.output_file)
            )
        if self.num_shards > 1 and "," in self.output_file:
            raise UsageError(
                "--num_shards={} and a comma list in --output_file exclude each other; give one "
                "name with --num_shards, or the list alone.".format(self.num_shards)
            )

    @property
    def predictions(self) -> int:
        """The cap on predictions that is in force (P, or half of it with permutation)."""
        # The product is rounded first: 0.15 * 100 is 15.000000000000002 in some orders.
        follow = math.ceil(round(self.masked_lm_prob * self.max_seq_length, 6))
        return self.max_predictions_per_seq or max(1, follow)

    @property
    def duplicates(self) -> int:
        """How often each document is segmented; once where the training draws the masks."""
        return 1 if self.masking == "dynamic" else self.dupe_factor

    @property
    def output_files(self) -> List[str]:
        """The files to write."""
        names = [name.strip() for name in self.output_file.split(",") if name.strip()]
        return [shard for name in names for shard in shard_names(name, self.num_shards)]
