#!/usr/bin/env bash
# Is a process's own CPU time a fair budget for training on a machine that others use too?
#
# One would guess: yes. Wall-clock time grows when another program runs, but the same updates of the same model use
# the same CPU time (the system's accounting leaves out what others use), give or take some per cent for caches.
#
# Seen (torch 2.13.0, CPU build, Linux, its own libgomp): the same 300 updates of a small recurrent net on two threads
# use far more CPU time beside another program on the same two cores than alone: threads that wait at the end of a
# parallel region do so in a busy loop, and the one they wait for has been set aside for the other program. On one
# thread, where nobody waits, CPU time stays about the same, as guessed.
#
# Whom it hurts: who gives two models "equal" CPU time, or reports CPU hours, on a shared machine: a model of many
# small operations pays for the waiting, one of few large ones hardly does.
#
# Exits with 1 if that is not so any more. Needs Python 3.11 or later and two cores; takes about two minutes.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$place/train.py" <<'PYTHON'
"""CPU seconds that 300 updates of a small GRU cell, stepped in a loop, use on so many threads."""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
cell, out = torch.nn.GRUCell(256, 256), torch.nn.Linear(256, 256)
inputs = torch.randn(12, 64, 256)
weights = [*cell.parameters(), *out.parameters()]
optimizer = torch.optim.SGD(weights, lr=0.01)


def update() -> None:
    state = torch.zeros(64, 256)
    loss = torch.zeros(())
    for step in inputs:
        state = cell(step, state)
        loss = loss + out(state).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


for _ in range(20):
    update()
began = time.process_time()
for _ in range(300):
    update()
print(time.process_time() - began)
PYTHON

cat > "$place/other.py" <<'PYTHON'
while True:
    pass
PYTHON

# On the first two cores that this process may use, so that the other program cannot move out of the way.
cores=$("$place/venv/bin/python" -c 'import os; print(",".join(map(str, sorted(os.sched_getaffinity(0))[:2])))')
measured() { taskset -c "$cores" "$place/venv/bin/python" "$place/train.py" "$1"; }
beside() {
    local others=() other
    for _ in 1 2; do taskset -c "$cores" "$place/venv/bin/python" "$place/other.py" & others+=("$!"); done
    measured "$1"
    for other in "${others[@]}"; do kill "$other"; done
    wait "${others[@]}" 2> /dev/null || true
}
for threads in 1 2; do
    alone[threads]=$(measured "$threads")
    busy[threads]=$(beside "$threads")
    echo "$threads threads: ${alone[threads]} s of CPU time alone, ${busy[threads]} s beside two other processes"
done
"$place/venv/bin/python" - "${alone[1]}" "${busy[1]}" "${alone[2]}" "${busy[2]}" <<'PYTHON'
import sys

alone_1, busy_1, alone_2, busy_2 = map(float, sys.argv[1:])
print(f"beside them: {busy_1 / alone_1:.2f} times as much on one thread, {busy_2 / alone_2:.2f} on two")
sys.exit(not (busy_2 / alone_2 > 1.3 * busy_1 / alone_1))
PYTHON
