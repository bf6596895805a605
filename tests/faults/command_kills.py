"""Kills commands at random moments and repeats them: the end is that of an unbroken one.

    python tests/faults/command_kills.py --kills=10

Each command is a process of its own, most of them forked of one that has loaded what they need.
Afterwards the same command must succeed, or its output be there; what it made must be equal, byte
for byte (of a fine-tuning the best weights and scores), and nothing may lie aside.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from malay import sentences  # noqa: E402
from preprocess_corpus import write_text  # noqa: E402
from test_import_export import small_run  # noqa: E402

from faults.disk import contents  # noqa: E402

OUT = "out/made"
PATIENCE = 600  # seconds that a command may take
RUN = "--output_dir=run"
COMMANDS = {
    "export --format=hf": [RUN, "--export_dir=" + OUT],
    "export --format=tf1": [RUN, "--export_dir=" + OUT],
    "import": ["run/model.ckpt-7", "--output_dir=" + OUT],
    "import archive": ["a.tar.gz", "--output_dir=" + OUT],
    "pack": [RUN, "--archive=" + OUT + ".tar.gz"],
    "unpack": ["a.tar.gz", "--output_dir=" + OUT],
    "clean": ["--input_file=text.txt", "--output_file=" + OUT, "--num_workers=1"],
    "records": [
        "--input_file=text.txt",
        "--output_file=" + OUT,
        "--spm_model_file=run/tokenizer.model",
        "--max_seq_length=32",
        "--num_workers=1",
    ],
    "finetune": [
        "--task=classification",
        "--init_checkpoint=run",
        "--train_file=rows.tsv",
        "--output_dir=" + OUT,
        "--num_train_epochs=3",
        "--num_gpu_cores=1",
        "--use_gpu=False",
    ],
}


def apart(work):
    """Starts a function in a process of its own, which ends if it hangs; the process.

    This one runs nothing of TensorFlow: what is forked of its threads would wait for ever.
    """
    number = os.fork()
    if not number:
        signal.alarm(PATIENCE)
        work()
        os._exit(0)
    return number


def begin(words, folder):
    """Starts a command in a folder; its process."""
    return apart(lambda: command(words, folder))


def command(words, folder):
    """Runs a command in a folder and ends the process."""
    screen = os.open(str(folder / "screen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    os.chdir(str(folder))
    if words[0] == "finetune":  # what it compiles needs threads that are not forked
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        os.execve(sys.executable, [sys.executable, "-m", "albert", *words], environment)
    from albert.__main__ import run as albert
    from preprocess.__main__ import run as preprocess

    try:
        (preprocess if words[0] in ("clean", "records") else albert)(["program", *words])
    except SystemExit as ended:
        os._exit(ended.code or 0)
    os._exit(1)


def end(number):
    """Waits for a process; its exit code, below 0 for a signal."""
    status = os.waitpid(number, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def made(name, folder):
    """What a command has made, as far as it is the same each time; None where there is nothing."""
    found = contents(folder / "out")
    if name == "finetune" and "made/report.json" in found:
        report = json.loads(found["made/report.json"])
        weights = {p: c for p, c in found.items() if p.endswith((".index", "-of-00001"))}
        return [report["scores"] if "scores" in report else report, weights]
    return found or None


def prepare(folder):
    """Fills a folder with what the commands read."""
    folder.mkdir(parents=True)
    small_run(folder / "run", "google")
    write_text(str(folder / "text.txt"), [sentences(40, n) for n in range(9)])
    rows = "\n".join("{}\t{}".format(text, n % 2) for n, text in enumerate(sentences(40, 0)))
    (folder / "rows.tsv").write_text("text\tlabel\n" + rows + "\n")


def kill_and_repeat(name, given, place, kills, chance):
    """Counts for a command, and the seconds that it takes unbroken."""
    words = name.replace(" archive", "").split() + COMMANDS[name]
    whole = place / "whole" / "job"
    shutil.copytree(str(given), str(whole))
    begun = time.monotonic()
    assert end(begin(words, whole)) == 0, (whole / "screen.txt").read_text()
    took, expected = time.monotonic() - begun, made(name, whole)
    counts = {"kills": 0, "refused": 0, "different": 0, "leftovers": 0}
    for number in range(kills):
        folder = place / str(number) / "job"  # what is made may tell the name
        shutil.copytree(str(given), str(folder))
        process = begin(words, folder)
        time.sleep(chance.uniform(0, took))
        os.kill(process, signal.SIGKILL)
        counts["kills"] += end(process) == -signal.SIGKILL
        there = made(name, folder) == expected
        code = end(begin(words, folder))
        counts["refused"] += code != 0 and not there
        counts["different"] += made(name, folder) != expected
        left = [path for path in contents(folder) if ".tmp" in path or ".work" in path]
        counts["leftovers"] += bool(left)
        if code and not there or left or made(name, folder) != expected:
            print("  kept:", folder, code, left)
        else:
            shutil.rmtree(str(folder.parent))
    return counts, took


def main():
    """Runs all of it; the exit code says whether nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--only", default="", help="a word of the commands to kill")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="command-kills-"))
    assert end(apart(lambda: prepare(place / "given"))) == 0
    assert end(begin(["pack", RUN, "--archive=a.tar.gz"], place / "given")) == 0
    wrong = 0
    for name in COMMANDS:
        if given.only in name:
            chance = random.Random("{} {}".format(given.seed, name))
            here = place / name.replace(" ", "_")
            counts, took = kill_and_repeat(name, place / "given", here, given.kills, chance)
            wrong += counts["refused"] + counts["different"] + counts["leftovers"]
            print("{:20} {}, {:.1f} s unbroken".format(name, counts, took), flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
