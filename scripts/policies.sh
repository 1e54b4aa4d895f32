#!/bin/sh
# Reproduces the figures of policies in book/measured.md: sh scripts/policies.sh OUT
#
# PPO in the classic environments, and CartPole whose pole's length and actuator's sign differ from world to world: by one network that is not told
# of them, by one that is, and by one that a hypernetwork writes for each; the same hidden, found out by a memory in the first 16 steps; goals in the
# plane, by a policy that adapts and by one that is written; roads and grips that a car has never been on; bandits and decision processes. HYPERLOOM names the command (not given: it is built), DEVICE where it
# computes (cpu), SEEDS the seeds (0 1 2).
set -eu
if [ $# -lt 1 ]; then
    echo "usage: sh scripts/policies.sh OUT" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
device=${DEVICE:-cpu}
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
learn() {
    name=$1
    shift
    for seed in ${SEEDS:-0 1 2}; do
        [ -f "$out/$name-$seed/report.json" ] && continue
        rm -rf "$out/$name-$seed"
        "$HYPERLOOM" train --device "$device" --seed "$seed" --out "$out/$name-$seed" "$@" >"$out/$name-$seed.log" 2>&1
    done
}
for name in cartpole acrobot pendulum navigation lane grid; do
    learn $name --task $name
done
varied="--task cartpole --context length=0.25..1,sign=-1..1"
learn lengths-untold $varied
learn lengths-told $varied --set told=true
learn lengths-generated $varied --weights generated
varied="--task pendulum --context mass=0.5..1.5,length=0.7..1.3"
learn masses-untold $varied
learn masses-told $varied --set told=true
learn masses-generated $varied --weights generated
(SEEDS=0; learn masses-own $varied --weights own --frames 8000000)
learn swing-analytic --task pendulum --learner apg
roads="--task lane --context curvature=0..0.02,grip=0.3..1,delay=0..0.3 --frames 40000000"
learn roads-untold $roads
learn roads-told $roads --set told=true
learn roads-generated $roads --weights generated
hidden="--task cartpole --context length=0.25..1,sign=-1..1 --learner rl2 --trial 16,500"
learn hidden-shared $hidden
learn hidden-generated $hidden --weights generated
goals="--task navigation --context goal_x=-0.5..0.5,goal_y=-0.5..0.5"
learn goals-generated $goals --weights generated
learn goals-adapted $goals --learner maml
learn arms-10 --task bandit --learner rl2 --frames 40000000
learn arms-5 --task bandit-5 --learner rl2 --frames 10000000
learn tables-10 --task mdp --learner rl2 --frames 20000000
# Networks of sixteen worlds' own, and networks for these by runs of other seeds, which were trained in other worlds.
set -- "$out/masses-own-0"
for run in "$out/masses-told-1" "$out/masses-told-2" "$out/masses-generated-1" "$out/masses-generated-2"; do
    if [ -f "$run/report.json" ]; then set -- "$@" "$run"; fi
done
"$HYPERLOOM" eval --device "$device" --out "$out/masses" "$@"
