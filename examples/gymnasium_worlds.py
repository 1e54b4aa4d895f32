"""Gymnasium's environments as worlds to learn in: pip install gymnasium, then
hyperloom train --task "exec:python3 examples/gymnasium_worlds.py CartPole-v1" --out runs/gym

What stands behind the name is set in each environment before it begins, and may differ from world to world:
NAME=USUAL,LOW,HIGH, as masspole=0.1,0.05,0.5 (an attribute of the environment).
"""

import json
import sys

import gymnasium
import numpy as np


def make():
    return gymnasium.make(sys.argv[1], disable_env_checker=True)


def number(text):
    name, values = text.split("=")
    usual, low, high = map(float, values.split(","))
    return {"name": name, "usual": usual, "range": [low, high]}


first = make()
numbers = [number(text) for text in sys.argv[2:]]
unknown = [n["name"] for n in numbers if not hasattr(first.unwrapped, n["name"])]
space = first.action_space
if isinstance(space, gymnasium.spaces.Discrete):
    actions = int(space.n)
elif isinstance(space, gymnasium.spaces.MultiDiscrete):
    actions = space.nvec.tolist()
else:
    actions = [[float(low), float(high)] for low, high in zip(space.low.ravel(), space.high.ravel())]
flat = lambda seen: np.asarray(seen, np.float32).ravel().tolist()


def action(given):
    if isinstance(space, gymnasium.spaces.Box):
        return np.asarray(given, space.dtype).reshape(space.shape)
    return given if isinstance(given, int) else np.asarray(given)


worlds, seeds = [], []
for line in sys.stdin:
    asked = json.loads(line)
    if unknown:
        said = {"error": f"{sys.argv[1]} has no attribute {unknown[0]}"}
    elif "about" in asked:
        said = {
            "name": sys.argv[1],
            "observation": int(np.prod(first.observation_space.shape)),
            "actions": actions,
            "horizon": first.spec.max_episode_steps or 1000,
            "context": numbers,
        }
    elif "worlds" in asked:
        while len(worlds) < asked["worlds"]:
            worlds.append(make())
        seeds = [asked["seed"] + i for i in range(len(worlds))]
        for world, context in zip(worlds, asked["contexts"]):
            for one, value in zip(numbers, context):
                setattr(world.unwrapped, one["name"], value)
        said = {}
    elif "start" in asked:
        seen = []
        for i in asked["start"]:
            seen.append(flat(worlds[i].reset(seed=seeds[i])[0]))
            seeds[i] = None
        said = {"observation": seen}
    elif "step" in asked:
        # The time limit is the learner's: the wrapper that has one, too, is not asked.
        found = [world.unwrapped.step(action(given)) for world, given in zip(worlds, asked["step"])]
        said = {
            "observation": [flat(f[0]) for f in found],
            "reward": [float(f[1]) for f in found],
            "terminated": [bool(f[2]) for f in found],
        }
    else:
        said = {"error": f"{sys.argv[1]} knows nothing of this"}
    print(json.dumps(said), flush=True)
