#!/bin/bash
# One training as a Slurm job that takes itself up again after its time limit, as often as it has to:
#
#     sbatch slurm.sh DATA --num_images 10000000 --output_dir /shared/runs/mine ...
#
# All that follows the script goes to `fromnoise train`. Change the six lines below to your cluster, and MAX_TIME with
# --time: a training that reaches it saves and ends with exit code 75, on which the job is queued again; the margin of
# 15 minutes is for loading the images and for writing.
#SBATCH --job-name=fromnoise
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
MAX_TIME=${MAX_TIME:-3.75h}

# The contract of torchrun, in Slurm's words: every task gets its rank, and all meet on the first machine of the job.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
srun --kill-on-bad-exit=1 bash -c '
    export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
    exec fromnoise train "$@"' task "$@" --max_time "$MAX_TIME"
code=$?

if [ "$code" -eq 75 ]; then # work is left, and saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
