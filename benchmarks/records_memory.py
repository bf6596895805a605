r"""Does the memory of a build stay flat, whatever the corpus?

  python benchmarks/records_memory.py --text=corpus.txt --spm_model_file=tokenizer.model \
    --times=1,100

Repeats the text, with other words each time, builds records and prints the peak of the resident
memory of all processes together (pages they share are counted once for each) beside the bound of
500 MB and 300 MB for each worker.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def repeat(text, times, target):
    """Writes a text several times; from the second on, every fifth word is changed."""
    with open(text, encoding="utf-8") as handle:
        lines = handle.read().split("\n")
    with open(target, "w", encoding="utf-8") as handle:
        for turn in range(times):
            for number, line in enumerate(lines):
                words = line.split(" ")
                if turn and line:
                    for at in range((number + turn) % 5, len(words), 5):
                        words[at] = words[(at * 7 + turn) % len(words)]
                handle.write(" ".join(words) + "\n")
            handle.write("\n")


def family(pid):
    """A process and all its descendants."""
    found, parents = [], {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as handle:
                fields = handle.read().rsplit(")", 1)
        except OSError:
            continue
        parents.setdefault(int(fields[1].split()[1]), []).append(int(path.split("/")[2]))
    waiting = [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += parents.get(found[-1], [])
    return found


def resident(pid):
    """Resident bytes of a process; 0 if it is gone."""
    try:
        with open("/proc/{}/statm".format(pid)) as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def peak_of(command):
    """Runs a command; returns the peak of its family's memory and its seconds."""
    begin, peak = time.time(), 0
    process = subprocess.Popen(command, stderr=subprocess.PIPE, universal_newlines=True, cwd=ROOT)
    errors = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)
    reader.start()
    while process.poll() is None:
        peak = max(peak, sum(resident(pid) for pid in family(process.pid)))
        time.sleep(0.05)
    if process.returncode:
        sys.exit("".join(errors[-3:]))
    return peak, time.time() - begin


def main():
    """Runs the builds and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True)
    parser.add_argument("--spm_model_file", required=True)
    parser.add_argument("--times", default="1,10")
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    parser.add_argument("flags", nargs="*", help="further flags for the builds, after --")
    arguments = parser.parse_args()
    bound = 500 + 300 * arguments.num_workers
    for times in (int(number) for number in arguments.times.split(",")):
        folder = tempfile.mkdtemp(prefix="memory-", dir=arguments.folder)
        try:
            text = os.path.join(folder, "text.txt")
            repeat(arguments.text, times, text)
            peak, seconds = peak_of(
                [
                    sys.executable,
                    os.path.join(ROOT, "create-pretraining-data.py"),
                    "--input_file=" + text,
                    "--output_file=" + os.path.join(folder, "records"),
                    "--spm_model_file=" + os.path.abspath(arguments.spm_model_file),
                    "--num_workers={}".format(arguments.num_workers),
                    "--tqdm_off",
                ]
                + arguments.flags
            )
            written = sum(os.path.getsize(p) for p in glob.glob(os.path.join(folder, "records*")))
            print(
                "{:9.1f} MB of text, {:9.1f} MB of records, {:7.1f} s, "
                "peak {:6.1f} MB of {} MB".format(
                    os.path.getsize(text) / 1e6, written / 1e6, seconds, peak / 1e6, bound
                ),
                flush=True,
            )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
