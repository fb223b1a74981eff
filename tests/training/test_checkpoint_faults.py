"""Faults that need a process of their own: the disk is full, and kill -9 at any moment of a save."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A limit on the size of files is a real failure of a real write, and needs no small disk to mount.
FULL = """
import resource, sys
import numpy as np
from cnn.training.checkpoint import CheckpointError, Checkpoints

def tree(step, size):
    return {'noise': np.random.default_rng(step).integers(0, 256, size, np.uint8), 'step': np.int32(step)}

with Checkpoints(sys.argv[1], keep=1) as checkpoints:
    checkpoints.save(1, tree(1, 1000))
    checkpoints.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    checkpoints.save(2, tree(2, 1_000_000))
    try:
        checkpoints.save(3, tree(3, 1000))
    except CheckpointError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    step, restored, _ = checkpoints.restore(tree(0, 1000))
    print(step, np.array_equal(restored['noise'], tree(1, 1000)['noise']))
    print(sorted(path.name for path in checkpoints.folder.iterdir()))
    print(checkpoints.save(3, tree(3, 1000)))
print(sorted(path.name for path in checkpoints.folder.iterdir()))
"""

# One process imports, then forks a child for each life of the run: an import takes longer than ten saves.
KILL = """
import contextlib, json, os, pathlib, random, signal, sys, time
import numpy as np
from cnn.training import log
from cnn.training.checkpoint import Checkpoints

folder = pathlib.Path(sys.argv[1])
LAST = 40

def tree(step):
    noise = np.random.default_rng(step).normal(size=(100_000,)).astype(np.float32)
    return {'noise': noise, 'step': np.int32(step)}

def live(saved):
    checkpoints = Checkpoints(folder / 'checkpoints', keep=2, best_metric='score')
    found = checkpoints.restore(tree(0))
    start, restored, metrics = found or (0, tree(0), {'score': 0.0})
    expected = tree(start)
    good = all(restored[name].tobytes() == expected[name].tobytes() for name in expected)
    good = bool(good and metrics == {'score': start % 7})
    os.write(saved, (json.dumps({'start': start, 'good': good}) + '\\n').encode())
    writer = log.MetricsWriter(folder, start_step=start)
    for step in range(start + 1, LAST + 1):
        writer.write(step, 'train', {'loss': 1 / step})
        writer.flush()
        checkpoints.save(step, tree(step), {'score': step % 7})
        if step % 3 == 0:
            checkpoints.wait()
            os.write(saved, (json.dumps({'saved': step}) + '\\n').encode())
    checkpoints.close()
    writer.close()

def unfinished(since):
    # What an earlier life left stands until the next save clears it, and is older.
    for path in (folder / 'checkpoints').glob('*tmp*'):
        with contextlib.suppress(FileNotFoundError):  # finished meanwhile
            if path.stat().st_mtime_ns > since:
                return True
    return False

# How fast a machine saves is not known beforehand: some kills come at a moment drawn at random, the others as soon as a
# save has begun, and lives go on until one of them was killed in the middle.
saved = os.open(folder / 'saved', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
torn = life = 0
while life < 6 or (not torn and life < 100):
    begin, born = os.stat(folder / 'saved').st_size, time.time_ns()
    child = os.fork()
    if not child:
        live(saved)
        os._exit(0)
    while os.stat(folder / 'saved').st_size == begin:
        time.sleep(0.001)
    if life % 2:
        deadline = time.monotonic() + 30
        while not unfinished(born) and time.monotonic() < deadline:
            time.sleep(0.0002)
    else:
        time.sleep(random.Random(life).uniform(0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    torn += unfinished(born)
    life += 1
child = os.fork()
if not child:
    live(saved)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(torn, life)
"""


def run(script: str, *arguments) -> list[str]:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert '/orbax/' not in done.stderr, f'a chained traceback of a library: {done.stderr}'
    return done.stdout.splitlines()


def test_a_full_disk_is_one_line_and_costs_no_checkpoint(tmp_path):
    message, restored, left, again, end = run(FULL, tmp_path / 'checkpoints')
    assert message.startswith(f'cannot save step 2 in {tmp_path}/checkpoints: a file is larger than')
    assert message.endswith('; step 1 is intact')
    assert restored == '1 True'
    assert left == "['1']", 'the failed step gives its space back'
    assert again == 'True'
    assert end == "['3']"


def test_kill_9_at_random_moments_loses_nothing_that_was_saved(tmp_path):
    [counts] = run(KILL, tmp_path)
    torn, killed = map(int, counts.split())
    assert torn >= 1, 'no kill came in the middle of a save; the test shows nothing'
    lines = [json.loads(line) for line in (tmp_path / 'saved').read_text().splitlines()]
    saved = 0
    lives = []
    for line in lines:
        if 'saved' in line:
            saved = line['saved']
        else:
            lives.append(line)
            assert line['good'], line
            assert line['start'] >= saved, 'a life began before what an earlier one had saved'
    assert len(lives) == killed + 1
    assert saved == 39
    # A kill between two files of a step leaves one that is set aside, beside what is kept.
    kept = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir() if path.name != 'set_aside')
    # 6 is the first to score 6 of 0..6, the best there is.
    assert kept == ['39', '40', '6']
    record = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert record == [{'step': step, 'split': 'train', 'loss': 1 / step} for step in range(1, 41)]
