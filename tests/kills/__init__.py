"""Real kills: runtimes die by SIGKILL and by time-out in the middle of copies, and nothing is lost.

`python -m tests.kills --kills 100 --seed 7` runs on the embedded cloud: the deployed template, the
function as it was built, AWS's emulator. Nothing here imports `archiver`: what is promised is
judged from outside, by what the bucket, the queue, the table and the vendor's side show.
"""

__all__: list[str] = []
