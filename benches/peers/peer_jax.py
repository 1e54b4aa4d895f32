"""The workloads in JAX: vmap over tasks, one jit a call, donated training state, TF32 off.

The weights of a task are split into layers before they are differentiated: gradients of slices of a flat vector
would be sums of zero-padded vectors (a third slower on a CPU).
"""

import sys
from functools import partial

import numpy as np

import inputs
import work


def setup(device):
    """Imports JAX for the device; the rest of the file uses what it sets."""
    global jax, jnp, optax
    import jax
    import jax.numpy as jnp

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        import optax
    except ImportError:
        optax = None
    d = jax.devices()[0]
    return "cpu" if d.platform == "cpu" else d.device_kind


def layers(w, widths):
    """A task's flat weights as a list of (weight, bias)."""
    out, at = [], 0
    for i, o in zip(widths, widths[1:]):
        out.append((w[at : at + i * o].reshape(i, o), w[at + i * o : at + i * o + o]))
        at += i * o + o
    return out


def network(net, x, activation):
    for i, (w, b) in enumerate(net):
        x = x @ w + b
        if i + 1 < len(net):
            x = activation(x)
    return x


def generate(params):
    """The weights of all tasks from their embeddings."""
    z, *rest = params
    return network(list(zip(rest[::2], rest[1::2])), z, jax.nn.relu)


def mse(net, x, y):
    return jnp.mean((network(net, x, jnp.tanh) - y) ** 2)


def adapted(net, x, y, steps):
    """A task's network after some steps of descent on its own rows."""

    def step(net, _):
        grads = jax.grad(mse)(net, x, y)
        return jax.tree.map(lambda w, g: w - work.INNER_RATE * g, net, grads), None

    return jax.lax.scan(step, net, None, length=steps, unroll=True)[0]


def task_loss(w, xs, ys, xq, yq, steps):
    net = layers(w, work.SMALL)
    return mse(adapted(net, xs, ys, steps) if steps else net, xq, yq)


def hyper_loss(params, xs, ys, xq, yq, steps):
    return jnp.mean(jax.vmap(partial(task_loss, steps=steps))(generate(params), xs, ys, xq, yq))


def image_loss(params, x, labels):
    def loss(w, x, labels):
        logits = jax.nn.log_softmax(network(layers(w, work.IMAGE), x, jax.nn.relu))
        return -jnp.mean(jnp.take_along_axis(logits, labels[:, None], 1))

    return jnp.mean(jax.vmap(loss)(generate(params), x, labels))


class Adam:
    """Where optax is not installed: the same update, with the same interface."""

    def __init__(self, rate):
        self.rate = rate

    def init(self, params):
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)

    def update(self, grads, state, _):
        t, m, v = state[0] + 1, state[1], state[2]
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        unbiased = lambda m, v: (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return jax.tree.map(lambda m, v: -self.rate * unbiased(m, v), m, v), (t, m, v)


def adam(rate):
    return optax.adam(rate) if optax else Adam(rate)


def train_step(loss):
    """One step of Adam as (params, state, data) -> (params, state, loss), not yet compiled; and the optimiser."""
    optimiser = adam(work.OUTER_RATE)

    def step(params, state, *data):
        value, grads = jax.value_and_grad(loss)(params, *data)
        updates, state = optimiser.update(grads, state, params)
        return jax.tree.map(lambda p, u: p + u, params, updates), state, value

    return step, optimiser


def training(loss, params, data, losses):
    step, optimiser = train_step(loss)
    step = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.array, params)  # copies: a donated buffer must be the device's own
    data = jax.tree.map(jnp.asarray, data)
    carry = [params, optimiser.init(params), None]

    def call():
        carry[:] = jax.block_until_ready(step(carry[0], carry[1], *data))

    check = []
    for _ in range(losses):
        call()
        check.append(float(carry[2]))
    return work.Job(check, call)


def adapting(w0, x, y, widths, steps):
    run = jax.jit(jax.vmap(lambda w, x, y: adapted(layers(w, widths), x, y, steps)))
    w0, x, y = jnp.asarray(w0), jnp.asarray(x), jnp.asarray(y)
    net = run(w0, x, y)
    return work.Job(inputs.drift(w0, jax.tree.leaves(net)), lambda: jax.block_until_ready(run(w0, x, y)))


def product(a, b):
    run = jax.jit(jnp.matmul)
    a, b = jnp.asarray(a), jnp.asarray(b)
    return work.Job([inputs.mean_square(run(a, b))], lambda: run(a, b).block_until_ready())


def pushed(state, right, physics):
    """A step of CartPole, and whether it ends the episode."""
    (x, speed, angle, turning), (gravity, cart, pole, length, force, tau) = jnp.moveaxis(state, -1, 0), jnp.moveaxis(physics, -1, 0)
    push = jnp.where(right, force, -force)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    pulled = (push + pole * length * turning**2 * sin) / (cart + pole)
    turned = (gravity * sin - cos * pulled) / (length * (4 / 3 - pole * cos**2 / (cart + pole)))
    moved = pulled - pole * length * turned * cos / (cart + pole)
    new = jnp.stack([x + tau * speed, speed + tau * moved, angle + tau * turning, turning + tau * turned], -1)
    return new, (jnp.abs(new[..., 0]) > 2.4) | (jnp.abs(new[..., 2]) > 12 * 2 * np.pi / 360)


def three_layers(p, x):
    return jnp.tanh(jnp.tanh(x @ p[0] + p[1]) @ p[2] + p[3]) @ p[4] + p[5]


def policies(tasks):
    """200 steps of each task's policy in its own world."""
    actors, start, physics = jax.tree.map(jnp.asarray, inputs.policies(tasks))

    def one(p, start, physics):
        def step(state, _):
            logits = three_layers(p, state)
            new, fell = pushed(state, logits[1] > logits[0], physics)
            return jnp.where(fell, start, new), (fell, new)

        _, (fell, states) = jax.lax.scan(step, start, None, length=work.ROLL)
        return fell.sum(), states[work.ROLL_COMPARED]

    run = jax.jit(jax.vmap(one))
    falls, states = run(actors, start, physics)
    check = [inputs.mean_square(np.asarray(states)), float(np.mean(np.asarray(falls)))]
    return work.Job(check, lambda: jax.block_until_ready(run(actors, start, physics)))


def learning_policies(tasks):
    """An iteration of PPO of each agent."""
    actors, critics, start, noise, order, physics = jax.tree.map(jnp.asarray, inputs.learning_policies(tasks))
    params = {"actor": actors, "critic": critics}
    rows, minibatch = work.PPO_WORLDS * work.PPO_STEPS, work.PPO_WORLDS * work.PPO_STEPS // work.PPO_MINIBATCHES

    def loss(p, seen, action, before, value, advantage, target):
        said = jax.nn.log_softmax(three_layers(p["actor"], seen))
        now = jnp.take_along_axis(said, action[:, None], 1)[:, 0]
        expected = three_layers(p["critic"], seen)[..., 0]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio, low, high = jnp.exp(now - before), 1 - work.PPO_CLIP, 1 + work.PPO_CLIP
        policy = -jnp.minimum(ratio * advantage, jnp.clip(ratio, low, high) * advantage).mean()
        near = value + jnp.clip(expected - value, -work.PPO_CLIP, work.PPO_CLIP)
        off = 0.5 * jnp.maximum((expected - target) ** 2, (near - target) ** 2).mean()
        return policy + work.PPO_VALUE * off + work.PPO_ENTROPY * (jnp.exp(said) * said).sum(-1).mean()

    def one(p, start, noise, physics):
        def act(state, noise):
            said = jax.nn.log_softmax(three_layers(p["actor"], state))
            action = jnp.argmax(said + noise, -1)
            new, fell = pushed(state, action == 1, jnp.broadcast_to(physics, (work.PPO_WORLDS, 6)))
            found = (state, action, jnp.take_along_axis(said, action[:, None], 1)[:, 0], three_layers(p["critic"], state)[..., 0], fell)
            return jnp.where(fell[:, None], start, new), found

        last, (seen, action, before, value, fell) = jax.lax.scan(act, start, noise)

        def back(carried, step):
            (later, next_value), (value, fell) = carried, step
            on = 1 - fell.astype(jnp.float32)
            later = 1 + work.PPO_GAMMA * next_value * on - value + work.PPO_GAMMA * work.PPO_LAMBDA * on * later
            return (later, value), later

        begin = (jnp.zeros(work.PPO_WORLDS), three_layers(p["critic"], last)[..., 0])
        advantage = jax.lax.scan(back, begin, (value, fell), reverse=True)[1]
        table = (seen, action, before, value, advantage, advantage + value)
        table = jax.tree.map(lambda a: a.reshape(rows, *a.shape[2:]), table)

        def update(carried, picked):
            p, m, v, t = carried
            l, g = jax.value_and_grad(loss)(p, *jax.tree.map(lambda a: a[picked], table))
            norm = jnp.sqrt(sum(jnp.sum(x * x) for x in jax.tree.leaves(g)))
            g = jax.tree.map(lambda x: x * jnp.minimum(1, work.PPO_NORM / norm), g)
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            to = lambda p, m, v: p - work.PPO_RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-5)
            return (jax.tree.map(to, p, m, v), m, v, t + 1), l

        zero = jax.tree.map(jnp.zeros_like, p)
        (new, *_), losses = jax.lax.scan(update, (p, zero, zero, 1.0), order.reshape(-1, minibatch))
        return new, losses[0], losses[-1], fell.sum()

    run = jax.jit(jax.vmap(one, (0, 0, 1, 0)))
    call = lambda: jax.block_until_ready(run(params, start, noise, physics))
    new, first, last, falls = call()
    moved = [np.asarray(a) - np.asarray(b) for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(params))]
    check = [float(np.mean(first)), float(np.mean(last)), inputs.mean_square(*moved), float(np.mean(falls))]
    return work.Job(check, call)


def different_networks(workload, tasks):
    """As one network with masks and switches under vmap, one call for each shape, or one for each network, compiled for its shape."""
    shapes, params, rows, targets = inputs.different_networks(workload, tasks)
    functions = [jnp.tanh, jax.nn.relu, lambda z: jax.nn.gelu(z, approximate=True), jnp.sin]
    x, targets = jnp.asarray(rows), jnp.asarray(targets)
    check = lambda y: [inputs.mean_square(y), float(np.mean(np.asarray(y, dtype=np.float64)))]

    def learned(says):
        """What a network says of the rows after its steps on targets `y`."""

        def f(p, y, *rest):
            loss = lambda p: jnp.mean(jnp.square(says(p, *rest) - y))
            step = lambda _, p: jax.tree.map(lambda p, g: p - work.NAS_RATE * g, p, jax.grad(loss)(p))
            return says(jax.lax.fori_loop(0, work.NAS_STEPS[workload], step, p), *rest)

        return f

    def network(kind):
        def says(layers):
            z = x
            for w, b in layers[:-1]:
                z = functions[kind](z @ w + b)
            return (z @ layers[-1][0] + layers[-1][1])[:, 0]

        return learned(says)

    def own(n):
        """The layers of a network in its own sizes."""
        depth, w, _ = shapes[n]
        layers = [(params["w0"][n, :, :w], params["b0"][n, :w])]
        layers += [(params["wh"][n, i, :w, :w], params["bh"][n, i, :w]) for i in range(depth - 1)]
        return layers + [(params["wo"][n, :w], params["bo"][n])]

    def padded():
        depths, _, kinds = (jnp.asarray([s[i] for s in shapes]) for i in range(3))
        p = {name: jnp.asarray(v) for name, v in params.items()}

        def says(p, depth, kind):
            act = lambda z: jnp.stack([f(z) for f in functions])[kind]
            z = act(x @ p["w0"] + p["b0"])
            for i in range(work.NAS_DEEPEST - 1):
                z = jnp.where(i + 1 < depth, act(z @ p["wh"][i] + p["bh"][i]), z)
            return (z @ p["wo"] + p["bo"])[:, 0]

        run = jax.jit(jax.vmap(learned(says)))
        call = lambda: run(p, targets, depths, kinds)
        return work.Job(check(call()), lambda: call().block_until_ready(), variant="padded")

    def one_by_one():
        runs = [jax.jit(network(kind)) for kind in range(len(functions))]
        networks = [(runs[shape[2]], jax.tree.map(jnp.asarray, own(n)), targets[n]) for n, shape in enumerate(shapes)]
        call = lambda: [f(layers, y) for f, layers, y in networks]
        return work.Job(check(jnp.stack(call())), lambda: jax.block_until_ready(call()), variant="loop")

    def by_shape():
        runs = [jax.jit(jax.vmap(network(kind))) for kind in range(len(functions))]
        groups = []
        for shape in sorted(set(shapes)):
            members = [n for n, s in enumerate(shapes) if s == shape]
            layers = jax.tree.map(lambda *a: jnp.stack(a), *map(own, members))
            groups.append((runs[shape[2]], layers, targets[jnp.asarray(members)]))
        call = lambda: [f(layers, y) for f, layers, y in groups]
        return work.Job(check(jnp.concatenate(call())), lambda: jax.block_until_ready(call()), variant="by shape")

    return work.fastest({"padded": padded, "loop": one_by_one, "by shape": by_shape})


def conv_native(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv_shifted(x, kernel):
    """Nine shifted pictures side by side, and one product."""
    n, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], -1)
    return windows @ kernel.reshape(9 * c, -1)


def picture_loss(params, x, labels, conv, channels, pools):
    """The loss of a task: mean cross entropy of classes, or the mean square of what the last convolution gives."""
    for l in range(channels):
        x = conv(x, params[f"kernel{l}"]) + params[f"bias{l}"]
        if pools:
            d = x - x.mean((0, 1, 2))
            d *= jax.lax.rsqrt((d * d).mean((0, 1, 2)) + 1e-5)
            x = jax.nn.relu(d * params[f"gain{l}"] + params[f"shift{l}"])
            n, h, w, c = x.shape
            x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
        else:
            x = jax.nn.relu(x)
    if not pools:
        return jnp.mean(x * x)
    logits = jax.nn.log_softmax(x.reshape(len(x), -1) @ params["weight"] + params["last_bias"])
    return -jnp.mean(jnp.take_along_axis(logits, labels[:, None], 1))


def pictures(workload, tasks):
    """Over tasks by vmap, by products over shifted pictures, or one task after another."""
    data = jax.tree.map(jnp.asarray, inputs.pictures(workload, tasks))
    tasks, _ = work.networks(workload, tasks)

    def task(conv):
        channels, pools = len(work.CHANNELS[workload]), work.has_pools(workload)
        loss = partial(picture_loss, conv=conv, channels=channels, pools=pools)
        return loss if workload == "conv-forward" else jax.value_and_grad(loss)

    def job(run):
        results = run()
        losses, grads = (results, None) if workload == "conv-forward" else results
        check = [float(jnp.mean(losses))] + ([inputs.mean_square(*jax.tree.leaves(grads))] if grads else [])
        return work.Job(check, lambda: jax.block_until_ready(run()))

    def batched(conv):
        run = jax.jit(jax.vmap(task(conv)))
        return lambda: job(lambda: run(*data))

    def loop():
        run = jax.jit(task(conv_native))
        each = [jax.tree.map(lambda a: a[t], data) for t in range(tasks)]
        stacked = job(lambda: jax.tree.map(lambda *a: jnp.stack(a), *[run(*d) for d in each]))
        return work.Job(stacked.check, lambda: jax.block_until_ready([run(*d) for d in each]))

    return work.fastest({"vmap": batched(conv_native), "im2col": batched(conv_shifted), "loop": loop})


def fields(tasks):
    """Ten steps of Adam of each network of sines on all pixels of its picture; the losses before each."""
    params, places, colours = jax.tree.map(jnp.asarray, inputs.fields(tasks))
    layers = len(params) // 2
    b1, b2, eps = 0.9, 0.999, 1e-8

    def loss(params, colours):
        x = places
        for l in range(layers):
            x = x @ params[2 * l] + params[2 * l + 1]
            x = jnp.sin(work.OMEGA * x) if l + 1 < layers else x
        return jnp.mean(jnp.square(x - colours))

    def task(params, colours):
        def step(carried, k):
            params, m, v = carried
            value, grads = jax.value_and_grad(loss)(params, colours)
            m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
            v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
            move = lambda p, m, v: p - work.FIELD_RATE * (m / (1 - b1**k)) / (jnp.sqrt(v / (1 - b2**k)) + eps)
            return (jax.tree.map(move, params, m, v), m, v), value

        none = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(step, (params, none, none), jnp.arange(1.0, work.FIELD_STEPS + 1))[1]

    run = jax.jit(jax.vmap(task))

    call = lambda: jax.block_until_ready(run(params, colours))
    return work.Job([float(v) for v in np.asarray(call()).mean(0)[[0, -1]]], call)


def few_shot(workload, tasks):
    """Steps on a few pictures of each task: weights of its own, or a gradient through the step by weights that all share."""
    own = workload == "conv-adapt"
    params, support, query = inputs.few_shot(tasks, own)
    params, support, query = jax.tree.map(jnp.asarray, (params, support, query))

    def losses(conv):
        return partial(picture_loss, conv=conv, channels=len(work.FEW_CHANNELS), pools=True)

    def step(loss, params, x, labels):
        return jax.tree.map(lambda p, g: p - work.FEW_RATE * g, params, jax.grad(loss)(params, x, labels))

    def task(conv):
        loss = losses(conv)
        if own:
            # Unrolled: inside of a loop XLA's convolutions on CPUs are several times slower.
            def adapt(params, x, labels):
                for _ in range(work.FEW_STEPS):
                    params = step(loss, params, x, labels)
                return params

            return adapt
        return jax.value_and_grad(lambda p, x, y, xq, yq: loss(step(loss, p, x, y), xq, yq))

    def check(result):
        if own:
            before, after = (np.concatenate([np.asarray(t[k]).ravel() for k in params]) for t in (params, result))
            return [inputs.mean_square(after), inputs.mean_square(after - before)]
        return [float(result[0]), inputs.mean_square(*jax.tree.leaves(result[1]))]

    data = support if own else (*support, *query)
    mean = jax.jit(lambda r: jax.tree.map(lambda a: a.mean(0), r))

    def batched(conv):
        if own:
            run = jax.jit(jax.vmap(task(conv)))
        else:
            over = jax.vmap(task(conv), in_axes=(None, 0, 0, 0, 0))
            run = jax.jit(lambda *a: jax.tree.map(lambda r: r.mean(0), over(*a)))
        return lambda: work.Job(check(run(params, *data)), lambda: jax.block_until_ready(run(params, *data)))

    def loop():
        run = jax.jit(task(conv_native))
        each = [jax.tree.map(lambda a: a[t], ((params if own else {}), data)) for t in range(tasks)]
        call = lambda: [run(p or params, *d) for p, d in each]
        stacked = lambda: jax.tree.map(lambda *a: jnp.stack(a), *call())
        if own:
            return work.Job(check(stacked()), lambda: jax.block_until_ready(call()))
        return work.Job(check(mean(stacked())), lambda: jax.block_until_ready(mean(stacked())))

    return work.fastest({"vmap": batched(conv_native), "im2col": batched(conv_shifted), "loop": loop})


def lstm(a, c):
    """The state and the cell after an element, from the sums of its gates and the cell before."""
    i, f, g, o = jnp.split(a, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def states(p, x, gru):
    """The states of a cell after each element of sequences `[n, l, c]`: `[l, n, h]`."""
    reads = x.swapaxes(0, 1) @ p["w"] + p["b"]
    start = jnp.zeros((x.shape[0], p["u"].shape[0]))

    def gru_step(h, a):
        b = h @ p["u"] + p["d"]
        (ar, az, an), (br, bz, bn) = jnp.split(a, 3, -1), jnp.split(b, 3, -1)
        z = jax.nn.sigmoid(az + bz)
        h = (1 - z) * jnp.tanh(an + jax.nn.sigmoid(ar + br) * bn) + z * h
        return h, h

    def lstm_step(carried, a):
        carried = lstm(a + carried[0] @ p["u"], carried[1])
        return carried, carried[0]

    return jax.lax.scan(gru_step, start, reads)[1] if gru else jax.lax.scan(lstm_step, (start, start), reads)[1]


def sequences(workload, tasks):
    """Steps on sequences of each task: weights of its own, or a gradient through the steps by weights that all share."""
    gru = workload == "gru-adapt"
    params = inputs.cells(3, tasks) if gru else inputs.cells(4)
    data = [*inputs.sequences(33, tasks)] + ([] if gru else [*inputs.sequences(34, tasks)])
    params, data = jax.tree.map(jnp.asarray, (params, data))

    def loss(p, x, y):
        return jnp.mean(((states(p, x, gru) @ p["wy"] + p["by"]).swapaxes(0, 1) - y) ** 2)

    def adapt(p, x, y):
        def step(p, _):
            return jax.tree.map(lambda w, g: w - work.SEQUENCE_RATE * g, p, jax.grad(loss)(p, x, y)), None

        return jax.lax.scan(step, p, None, length=work.GRU_STEPS if gru else work.LSTM_STEPS)[0]

    if gru:
        run = jax.jit(jax.vmap(adapt))
    else:

        def meta(p, xs, ys, xq, yq):
            return jnp.mean(jax.vmap(lambda xs, ys, xq, yq: loss(adapt(p, xs, ys), xq, yq))(xs, ys, xq, yq))

        run = jax.jit(jax.value_and_grad(meta))
    call = lambda: jax.block_until_ready(run(params, *data))
    result = call()
    if gru:
        before, after = (np.concatenate([np.asarray(t[k]).ravel() for k in params]) for t in (params, result))
        return work.Job([inputs.mean_square(after), inputs.mean_square(after - before)], call)
    return work.Job([float(result[0]), inputs.mean_square(*jax.tree.leaves(result[1]))], call)


def language_model():
    """Steps of Adam of an LSTM over characters, which are looked up."""
    params, x, y = inputs.language_model()

    def loss(p, x, y):
        reads = p["w"][x.T] + p["b"]
        start = jnp.zeros((x.shape[0], p["u"].shape[0]))

        def step(carried, a):
            carried = lstm(a + carried[0] @ p["u"], carried[1])
            return carried, carried[0]

        logits = jax.nn.log_softmax(jax.lax.scan(step, (start, start), reads)[1] @ p["wy"] + p["by"])
        return -jnp.mean(jnp.take_along_axis(logits, y.T[..., None], -1))

    return training(loss, params, (x, y), 3)


def transformer(tasks):
    """Steps of Adam of a generator whose layer tokens look at the support rows, tasks side by side."""
    params, data = inputs.transformer(tasks)
    n, heads = work.TOKEN_ROWS, work.TOKEN_HEADS

    def normed(x, p, name):
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}_gain"] + p[f"{name}_shift"]

    def one(p, xs, ys, xq, yq):
        h = jnp.concatenate([jnp.concatenate([xs, ys], -1) @ p["we"] + p["be"], p["token"]])
        for b in range(work.TOKEN_BLOCKS):
            u = normed(h, p, f"{b}_ln1")
            parts = [(u @ p[f"{b}_w{a}"] + p[f"{b}_b{a}"]).reshape(len(h), heads, -1).swapaxes(0, 1) for a in "qkv"]
            q, k, v = parts
            told = jax.nn.softmax(q @ k.swapaxes(1, 2) / jnp.sqrt(q.shape[-1])) @ v
            h = h + told.swapaxes(0, 1).reshape(len(h), -1) @ p[f"{b}_wo"] + p[f"{b}_bo"]
            wide = jax.nn.gelu(normed(h, p, f"{b}_ln2") @ p[f"{b}_w1"] + p[f"{b}_b1"])
            h = h + wide @ p[f"{b}_w2"] + p[f"{b}_b2"]
        h = normed(h, p, "ln")[n:]
        w = jnp.concatenate([h[i] @ p[f"head{i}"] for i in range(len(work.SMALL) - 1)]) + p["base"]
        return jnp.mean(jnp.square(network(layers(w, work.SMALL), xq, jnp.tanh) - yq))

    def loss(p, *rows):
        return jnp.mean(jax.vmap(one, (None, 0, 0, 0, 0))(p, *rows))

    return training(loss, params, data, 3)


def heads(workload, tasks):
    """Steps of Adam of a generator of classifiers: all weights at once, in chunks, or in factors of low rank, through which products are taken."""
    params, data = inputs.heads(workload, tasks)
    pairs = list(zip(work.HEAD_TARGET, work.HEAD_TARGET[1:]))
    # Chunks are all there is of a weight: each tensor as large as uniform draws in 1 / sqrt(inputs) are.
    spread = jnp.concatenate([jnp.full(i * o + o, (1 / (3 * i)) ** 0.5) for i, o in pairs])

    def full(p, z):
        return layers(jax.nn.relu(z @ p["trunk"] + p["trunk_bias"]) @ p["head"] + p["offset"], work.HEAD_TARGET)

    def chunked(p, z):
        read = jnp.concatenate([jnp.broadcast_to(z, (len(p["chunks"]), len(z))), p["chunks"]], -1)
        h = jax.nn.relu(read @ p["trunk"] + p["trunk_bias"])
        h = h - h.mean(0)
        w = h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-5) @ p["head"] + p["offset"]
        return layers(w.ravel()[: len(spread)] * spread, work.HEAD_TARGET)

    def low_rank(p, z, x):
        h = jax.nn.relu(z @ p["trunk"] + p["trunk_bias"])
        for l, ((w, b), (i, o)) in enumerate(zip(layers(p["offset"], work.HEAD_TARGET), pairs)):
            left = (h @ p[f"a{l}"] + p[f"a{l}_bias"]).reshape(i, work.HEAD_RANK)
            right = (h @ p[f"b{l}"] + p[f"b{l}_bias"]).reshape(work.HEAD_RANK, o)
            x = x @ w + b + (x @ left) @ right
            x = jax.nn.relu(x) if l + 1 < len(pairs) else x
        return x

    def one(p, z, x, labels):
        if workload == "head-low-rank":
            logits = low_rank(p, z, x)
        else:
            logits = network((chunked if workload == "head-chunked" else full)(p, z), x, jax.nn.relu)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))

    def loss(p, *data):
        return jnp.mean(jax.vmap(one, (None, 0, 0, 0))(p, *data))

    return training(loss, params, data, 3)


def sine(tasks):
    """The set encoder that writes 1-40-40-1 networks for sine waves, drawn on the device: steps in compiled chunks."""
    random, relu = jax.random, jax.nn.relu
    e, h, p = 64, 128, work.weights(work.SMALL)
    keys = random.split(random.PRNGKey(0), 8)
    he = lambda key, i, o: random.normal(key, (i, o)) * jnp.sqrt(2 / i)

    def uniform(key, i, o):
        w = random.uniform(key, (i, o), minval=-1, maxval=1) / jnp.sqrt(i)
        return w, random.uniform(random.fold_in(key, 1), (o,), minval=-1, maxval=1) / jnp.sqrt(i)

    first = [uniform(k, i, o) for k, i, o in zip(random.split(keys[7], 3), work.SMALL, work.SMALL[1:])]
    params = {
        "encode_1": (he(keys[0], 2, e), jnp.zeros(e)),
        "encode_2": (he(keys[1], e, e), jnp.zeros(e)),
        "trunk": (he(keys[2], e, h), jnp.zeros(h)),
        "head": (jnp.zeros((h, p)), jnp.concatenate([t.ravel() for layer in first for t in layer])),
    }

    def wave(key):
        draw, place = random.split(key)
        a, b = random.split(draw)
        amplitude = random.uniform(a, minval=0.1, maxval=5.0)
        phase = random.uniform(b, minval=0.0, maxval=jnp.pi)
        x = random.uniform(place, (20, 1), minval=-5.0, maxval=5.0)
        return x, amplitude * jnp.sin(x - phase)

    def loss(params, key):
        def one(key):
            x, y = wave(key)
            shots = random.randint(random.fold_in(key, 3), (), 3, 11)
            rows = jnp.concatenate([x[:10], y[:10]], 1) / 5
            encoded = network([params["encode_1"], params["encode_2"]], rows, relu)
            mean = (relu(encoded) * (jnp.arange(10) < shots)[:, None]).sum(0) / shots
            w = network([params["trunk"], params["head"]], mean, relu)
            return jnp.mean((network(layers(w, work.SMALL), x[10:], relu) - y[10:]) ** 2)

        return jnp.mean(jax.vmap(one)(random.split(key, tasks)))

    step, optimiser = train_step(loss)

    @partial(jax.jit, donate_argnums=0)
    def chunk(carry, key):
        def body(carry, key):
            params, state, value = step(*carry, key)
            return (params, state), value

        return jax.lax.scan(body, carry, random.split(key, work.SINE_CHUNK))

    state = [(params, optimiser.init(params)), random.PRNGKey(1), None]

    def call():
        key, state[1] = random.split(state[1])
        state[0], state[2] = jax.block_until_ready(chunk(state[0], key))

    return work.Job([], call, steps=work.SINE_CHUNK, calls=work.SINE_STEPS // work.SINE_CHUNK)


def build(workload, tasks, path, device):
    name = setup(device)
    if workload in ("amortised", "maml2"):
        steps = work.INNER_STEPS if workload == "maml2" else 0
        return training(partial(hyper_loss, steps=steps), inputs.hyper(tasks), inputs.rows(tasks), 3), name
    if workload == "generator":
        return training(image_loss, inputs.image_hyper(tasks), inputs.images(tasks), 2), name
    if workload == "adapt":
        xs, ys, _, _ = inputs.rows(tasks)
        w0 = jax.jit(generate)([jnp.asarray(p) for p in inputs.hyper(tasks)])
        return adapting(w0, xs, ys, work.SMALL, work.INNER_STEPS), name
    if workload in work.WIDE_LEARNING:
        rows, steps = work.WIDE_LEARNING[workload]
        return adapting(*inputs.wide(tasks, rows), work.WIDE, steps), name
    if workload == "sine":
        return sine(tasks), name
    if workload in work.CHANNELS:
        return pictures(workload, tasks), name
    if workload in ("conv-adapt", "conv-maml2"):
        return few_shot(workload, tasks), name
    if workload == "inr":
        return fields(tasks), name
    if workload in ("gru-adapt", "lstm-maml2"):
        return sequences(workload, tasks), name
    if workload == "charlm":
        return language_model(), name
    if workload == "attention-hyper":
        return transformer(tasks), name
    if workload in work.HEADS:
        return heads(workload, tasks), name
    if workload in work.POLICIES:
        return (policies if workload == "rl-rollout" else learning_policies)(tasks), name
    if workload in work.SEARCH:
        return different_networks(workload, tasks), name
    return product(*inputs.matrices(workload, tasks)), name


def versions(device):
    name = setup(device)
    import jaxlib
    import numpy

    return {
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "optax": optax.__version__ if optax else "not installed (Adam written out)",
        "device": name,
    }


if __name__ == "__main__":
    work.main("jax", ("jax",), build, versions)
