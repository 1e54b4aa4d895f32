"""Roll-outs in Gymnasium: a vector environment with a world of its own for each policy, and the policies in NumPy."""

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

import inputs
import work


class World(CartPoleEnv):
    """CartPole with physics of its own, which begins where it is told."""

    def __init__(self, begin, physics):
        super().__init__()
        self.begin = np.asarray(begin, np.float64)
        self.gravity, self.masscart, self.masspole, self.length, self.force_mag, self.tau = map(float, physics)
        self.total_mass, self.polemass_length = self.masscart + self.masspole, self.masspole * self.length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.begin.copy()
        return self.begin.astype(np.float32), {}


def policies(tasks):
    """200 steps of each task's policy in its own world."""
    actors, begin, physics = inputs.policies(tasks)
    a, b, c, d, e, f = actors
    worlds = [lambda i=i: World(begin[i], physics[i]) for i in range(tasks)]
    vector = gymnasium.vector.SyncVectorEnv(worlds, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
    layer = lambda x, w, b: np.matmul(x[:, None], w)[:, 0] + b
    found = {}

    def call():
        seen, falls = vector.reset()[0], 0
        for step in range(work.ROLL):
            logits = layer(np.tanh(layer(np.tanh(layer(seen, a, b)), c, d)), e, f)
            seen, _, fell, _, more = vector.step((logits[:, 1] > logits[:, 0]).astype(np.int64))
            falls += fell.sum()
            if step == work.ROLL_COMPARED:
                # Of those that fell where they fell.
                states = [more["final_obs"][i] if fell[i] else seen[i] for i in range(tasks)]
                found["states"] = inputs.mean_square(np.asarray(states, np.float32))
        found["falls"] = falls / tasks

    call()
    return work.Job([found["states"], float(found["falls"])], call)


def versions(_):
    import platform

    return {"python": platform.python_version(), "numpy": np.__version__, "gymnasium": gymnasium.__version__, "device": "cpu"}


if __name__ == "__main__":
    work.main("gymnasium", ["gymnasium"], lambda workload, tasks, path, device: (policies(tasks), "cpu"), versions)
