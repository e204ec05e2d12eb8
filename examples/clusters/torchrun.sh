#!/bin/bash
# One training over several machines: the same command on each of them, also to go on after a failure.
#
#     HEAD=node-1 NODES=2 GPUS=8 bash torchrun.sh DATA --num_images 10000000 --output_dir /shared/runs/mine ...
#
# HEAD: the machine where the processes meet, reachable from all. NODES: how many machines. GPUS: processes on each of
# them; on machines without GPUS give a number, else torchrun counts the cards. PORT: of HEAD. All that follows goes to
# `fromnoise train`. The run folder and DATA have to be at the same place on every machine.
#
# A process that dies ends the others, and torchrun starts all of them again, RESTARTS times at most: they go on from
# the newest checkpoint. A time limit (`--max_time`, exit code 75) would be started again too, so it goes with RESTARTS=0.
set -eu
: "${HEAD:?is not set: the name of the machine where the processes meet}" "${NODES:?is not set: how many machines}"

exec torchrun \
    --nnodes "$NODES" --nproc-per-node "${GPUS:-gpu}" --max-restarts "${RESTARTS:-3}" \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:${PORT:-29500}" --rdzv-id "${JOB:-fromnoise}" \
    -m fromnoise train "$@"
