"""How fast are records made, beside what SentencePiece alone needs for the same text?

  python benchmarks/records.py --text=corpus.txt --spm_model_file=tokenizer.model

Builds records (length 512, whole-word 3-grams, sentence order) with dupe_factor 5 and 1 and
encodes the same lines with SentencePiece alone on as many cores, in turns, and prints medians.
Without --text it takes the documentation that ships inside Python. Start-up of processes is
excluded on both sides. Google's script was timed on two cores of the same kind of machine.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from absl import logging  # noqa: E402

from albert.records.options import RecordOptions  # noqa: E402
from albert.text import vocabulary  # noqa: E402
from preprocess import engines, tokenizer  # noqa: E402
from preprocess.engines import Execution  # noqa: E402
from preprocess.records.build import write_records  # noqa: E402
from preprocess.sources.blocks import decode_utf8, read_blocks  # noqa: E402

GOOGLE_MB_PER_S, GOOGLE_INSTANCES_PER_S = 0.035, 116.0


def encode_only(job):
    """Encodes the lines of a block and forgets them."""
    model, block = job
    lines = [line for line in decode_utf8(block).split("\n") if line]
    return sum(len(ids) for ids in vocabulary.load(model).processor.EncodeAsIds(lines))


def time_sentencepiece(text, model, execution):
    """Seconds to encode a text with SentencePiece on all workers."""
    from benchmarks.records import encode_only  # where workers find it, not in this script

    with engines.start(execution) as run:
        list(run(encode_only, ((model, b) for b in read_blocks([text], block_bytes=1 << 14))))
        begin = time.perf_counter()
        list(run(encode_only, ((model, block) for block in read_blocks([text]))))
        return time.perf_counter() - begin


def time_records(text, model, execution, dupe_factor, folder):
    """Seconds to build records, and how many records and tokens they are."""
    options = RecordOptions(text, os.path.join(folder, "records"), model, dupe_factor=dupe_factor)
    result = write_records(options, execution)
    return sum(result.seconds.values()), (result.manifest.examples, result.manifest.tokens)


def python_documentation(folder):
    """A text and a model made from what Python ships."""
    from pydoc_data.topics import topics

    text = os.path.join(folder, "python.txt")
    with open(text, "w", encoding="utf-8") as handle:
        for _ in range(8):
            for topic in topics.values():
                handle.write("\n".join(line for line in topic.splitlines() if line) + "\n\n")
    return text, tokenizer.train_tokenizer(text, os.path.join(folder, "model"), 4000)


def main():
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text")
    parser.add_argument("--spm_model_file")
    parser.add_argument("--num_workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write records; default: a temporary folder")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.WARNING)
    folder = tempfile.mkdtemp(prefix="records-", dir=arguments.folder)
    try:
        text, model = arguments.text, arguments.spm_model_file
        if not text:
            text, model = python_documentation(folder)
        report(text, model, Execution(arguments.num_workers, tqdm_off=True), arguments, folder)
    finally:
        shutil.rmtree(folder)


def report(text, model, execution, arguments, folder):
    """Measures in turns and prints."""
    seconds, counts = {0: [], 1: [], 5: []}, {}
    for _ in range(arguments.rounds):
        seconds[0].append(time_sentencepiece(text, model, execution))
        for dupe_factor in (1, 5):
            took, counts[dupe_factor] = time_records(text, model, execution, dupe_factor, folder)
            seconds[dupe_factor].append(took)
    size = os.path.getsize(text) / 1e6
    print(
        "{:.2f} MB of text, {} workers, {} rounds, medians".format(
            size, engines.worker_count(execution), arguments.rounds
        )
    )
    columns = "{:22} {:>9} {:>8} {:>12} {:>12} {:>10} {:>9}"
    print(columns.format("", "seconds", "MB/s", "instances/s", "tokens/s", "of SPM", "x Google"))
    for dupe_factor, name in ((0, "SentencePiece alone"), (1, "records, dupe 1"), (5, "dupe 5")):
        took = statistics.median(seconds[dupe_factor])
        made, tokens = counts.get(dupe_factor, (0, 0))
        print(
            columns.format(
                name,
                "{:.2f}".format(took),
                "{:.2f}".format(size / took),
                "{:,.0f}".format(made / took),
                "{:,.0f}".format(tokens / took),
                "{:.0%}".format(statistics.median(seconds[0]) / took),
                "{:.0f} / {:.0f}".format(
                    size / took / GOOGLE_MB_PER_S,
                    made / took / GOOGLE_INSTANCES_PER_S,
                )
                if dupe_factor == 5
                else "",
            )
        )


if __name__ == "__main__":
    main()
