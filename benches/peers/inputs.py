"""The inputs of the workloads: numbers from an integer hash, the same in every language."""

import numpy as np

import work


def hashed(stream, count):
    """`count` hashed 32-bit words of a stream."""
    x = np.arange(count, dtype=np.uint32)
    x += np.uint32(stream * 0x9E3779B9 & 0xFFFFFFFF)
    x ^= x >> 16
    x *= np.uint32(0x7FEB352D)
    x ^= x >> 15
    x *= np.uint32(0x846CA68B)
    x ^= x >> 16
    return x


def tensor(stream, scale, *shape):
    """A tensor with numbers in [-scale, scale)."""
    u = (hashed(stream, int(np.prod(shape))) >> 8).astype(np.float32)
    u *= np.float32(2**-24)
    u *= np.float32(2)
    u -= np.float32(1)
    u *= np.float32(scale)
    return u.reshape(shape)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def hyper(tasks):
    """The trained values of `amortised` and `maml2`: embeddings, then weight and bias of each layer."""
    e, h, _, p = work.HYPER
    return [
        tensor(1, 1, tasks, e),
        tensor(2, 0.3, e, h),
        zeros(h),
        tensor(3, 0.15, h, h),
        zeros(h),
        tensor(4, 0.03, h, p),
        tensor(5, 0.3, p),
    ]


def image_hyper(tasks):
    """The trained values of `generator`."""
    e, h, p = work.IMAGE_HYPER
    return [tensor(1, 1, tasks, e), tensor(2, 0.1, e, h), zeros(h), tensor(4, 0.005, h, p), tensor(5, 0.05, p)]


def rows(tasks):
    """Support and query rows of the sine tasks: x and y of each."""
    xs, xq = tensor(6, 2, tasks, work.SUPPORT, 1), tensor(7, 2, tasks, work.QUERY, 1)
    return xs, np.sin(xs), xq, np.sin(xq)


def wide(tasks, rows):
    """Weights and rows of `adapt-64` and `adapt-rows`."""
    x = tensor(9, 2, tasks, rows, 2)
    return tensor(8, 0.15, tasks, work.weights(work.WIDE)), x, np.sin(x[..., :1] + x[..., 1:])


def images(tasks):
    """Rows and labels of `generator`."""
    n = work.IMAGE_ROWS
    labels = (hashed(7, tasks * n) % 10).astype(np.int32).reshape(tasks, n)
    return tensor(6, 1, tasks, n, work.IMAGE[0]), labels


def heads(workload, tasks):
    """Parameters by name, in the order of their streams, descriptors, rows and labels of the generators of `head-full` and its like."""
    d, h, target = work.HEAD_DESCRIPTOR, work.HEAD_TRUNK, work.HEAD_TARGET
    p = work.weights(target)
    chunked = workload == "head-chunked"
    shapes = {}
    if chunked:
        shapes["chunks"] = (-(-p // work.HEAD_CHUNK), work.HEAD_EMBEDDING)
    shapes |= {"trunk": (d + work.HEAD_EMBEDDING * chunked, h), "trunk_bias": (h,)}
    if workload == "head-low-rank":
        for l, (i, o) in enumerate(zip(target, target[1:])):
            a, b = i * work.HEAD_RANK, work.HEAD_RANK * o
            shapes |= {f"a{l}": (h, a), f"a{l}_bias": (a,), f"b{l}": (h, b), f"b{l}_bias": (b,)}
    else:
        shapes["head"] = (h, work.HEAD_CHUNK if chunked else p)
    shapes["offset"] = (work.HEAD_CHUNK if chunked else p,)
    scale = lambda shape: (1 / shape[0]) ** 0.5 if len(shape) == 2 else 0.01
    params = {name: tensor(70 + k, scale(shape), *shape) for k, (name, shape) in enumerate(shapes.items())}
    labels = (np.arange(tasks * work.HEAD_ROWS) % target[-1]).astype(np.int32).reshape(tasks, -1)
    return params, (tensor(60, 1, tasks, d), tensor(61, 1, tasks, work.HEAD_ROWS, target[0]), labels)


def pictures(workload, tasks):
    """Weights by name, each `[T, ..]`, pictures `[T, n, h, w, c]` and labels `[T, n]` of the convolutional networks."""
    params, i = {}, work.PICTURE[2]
    tasks, pictures = work.networks(workload, tasks)
    for l, o in enumerate(work.CHANNELS[workload]):
        params[f"kernel{l}"] = tensor(10 + l, (6 / (9 * i)) ** 0.5, tasks, 3, 3, i, o)
        params[f"bias{l}"] = zeros(tasks, o)
        if work.has_pools(workload):
            params |= {f"gain{l}": zeros(tasks, o) + np.float32(1), f"shift{l}": zeros(tasks, o)}
        i = o
    if work.has_pools(workload):
        inputs = work.features(workload)
        params["weight"] = tensor(15, (3 / inputs) ** 0.5, tasks, inputs, work.CLASSES)
        params["last_bias"] = zeros(tasks, work.CLASSES)
    labels = np.tile((np.arange(pictures) % work.CLASSES).astype(np.int32), (tasks, 1))
    return params, tensor(22, 1, tasks, pictures, *work.PICTURE), labels


def few_shot(tasks, own):
    """Weights by name, `[T, ..]` where each task has its `own`, and pictures with labels to learn from and to be judged by."""
    lead, params, i = ((tasks,) if own else ()), {}, 1
    for l, o in enumerate(work.FEW_CHANNELS):
        params[f"kernel{l}"] = tensor(10 + l, (6 / (9 * i)) ** 0.5, *lead, 3, 3, i, o)
        params |= {f"bias{l}": zeros(*lead, o), f"gain{l}": zeros(*lead, o) + np.float32(1), f"shift{l}": zeros(*lead, o)}
        i = o
    params["weight"] = tensor(15, (3 / i) ** 0.5, *lead, i, work.FEW_WAYS)
    params["last_bias"] = zeros(*lead, work.FEW_WAYS)

    def seen(stream, n):
        labels = np.tile((np.arange(n) % work.FEW_WAYS).astype(np.int32), (tasks, 1))
        return tensor(stream, 1, tasks, n, work.FEW_SIZE, work.FEW_SIZE, 1), labels

    return params, seen(20, work.FEW_SUPPORT), seen(21, work.FEW_QUERY)


def fields(tasks):
    """Weights and biases of each layer, `[T, ..]`, the places of all pixels `[n, 2]` and their channels `[T, n, 3]`."""
    params = []
    for l, (i, o) in enumerate(zip(work.SIREN, work.SIREN[1:])):
        scale = 0.5 if l == 0 else (6 / i) ** 0.5 / work.OMEGA
        params += [tensor(130 + l, scale, tasks, i, o), zeros(tasks, o)]
    side = np.linspace(-1, 1, work.FIELD_SIZE)
    y, x = (a.ravel() for a in np.meshgrid(side, side, indexing="ij"))
    places = np.stack([x, y], -1).astype(np.float32)
    t, c = np.arange(tasks)[:, None, None], np.arange(1, 4)
    x, y = (places[None, :, k : k + 1].astype(np.float64) for k in (0, 1))
    colours = np.sin(3 * c * x + 0.1 * t) * np.cos(2 * c * y + 0.05 * t)
    return params, places, colours.astype(np.float32)


def cells(gates, *lead):
    """Weights of a recurrent cell and of what reads its states, by name, in the order of the layout; `[T, ..]` where tasks have their own."""
    c, h = work.SEQUENCE_CHANNELS, work.UNITS
    params = {
        "w": tensor(30, (1 / c) ** 0.5, *lead, c, gates * h),
        "u": tensor(31, (1 / h) ** 0.5, *lead, h, gates * h),
        "b": zeros(*lead, gates * h),
    }
    if gates == 3:
        params["d"] = zeros(*lead, gates * h)
    return params | {"wy": tensor(32, (1 / h) ** 0.5, *lead, h, 1), "by": zeros(*lead, 1)}


def sequences(stream, tasks):
    """Sequences `[T, n, l, c]`, and the sine of what the means of their elements add up to, `[T, n, l, 1]`."""
    x = tensor(stream, 1, tasks, work.SEQUENCES, work.LENGTH, work.SEQUENCE_CHANNELS)
    return x, np.sin(np.cumsum(x.mean(-1, keepdims=True), 2)).astype(np.float32)


def language_model():
    """Weights of an LSTM over characters by name, the characters `[n, l]` and those that follow."""
    v, h = work.SYMBOLS, work.LM_UNITS
    k = h**-0.5
    params = {"w": tensor(40, k, v, 4 * h), "u": tensor(41, k, h, 4 * h), "b": zeros(4 * h)}
    params |= {"wy": tensor(42, k, h, v), "by": zeros(v)}
    text = (hashed(51, work.LM_SEQUENCES * (work.LM_LENGTH + 1)) % v).astype(np.int32)
    text = text.reshape(work.LM_SEQUENCES, -1)
    return params, text[:, :-1].copy(), text[:, 1:].copy()


def transformer(tasks):
    """Parameters of a generator with attention by name, in the order of their streams; support and query rows."""
    d, f, stream = work.TOKEN, work.TOKEN_HIDDEN, iter(range(60, 200))
    dense = lambda i, o, scale=None: tensor(next(stream), i**-0.5 if scale is None else scale, i, o)
    params = {"we": dense(2, d), "be": zeros(d), "token": dense(len(work.SMALL) - 1, d, 1)}
    for b in range(work.TOKEN_BLOCKS):
        for n in ("ln1", "ln2"):
            params |= {f"{b}_{n}_gain": zeros(d) + 1, f"{b}_{n}_shift": zeros(d)}
        for n in "qkvo":
            params |= {f"{b}_w{n}": dense(d, d), f"{b}_b{n}": zeros(d)}
        params |= {f"{b}_w1": dense(d, f), f"{b}_b1": zeros(f), f"{b}_w2": dense(f, d), f"{b}_b2": zeros(d)}
    params |= {"ln_gain": zeros(d) + 1, "ln_shift": zeros(d)}
    for i, (n, o) in enumerate(zip(work.SMALL, work.SMALL[1:])):
        params[f"head{i}"] = dense(d, n * o + o, 0.02)
    params["base"] = tensor(59, 0.3, work.weights(work.SMALL))
    xs, xq = (tensor(s, 2, tasks, work.TOKEN_ROWS, 1) for s in (6, 7))
    return params, (xs, np.sin(xs), xq, np.sin(xq))


def different_networks(workload, tasks):
    """Dense networks of 64 shapes in the sizes of the widest and deepest, 0 beyond their width; the rows that all read, and what each
    network is to say of them."""
    w, h = work.NAS_WIDEST, work.NAS_DEEPEST - 1
    shapes = [work.nas_shape(n) for n in range(tasks)]
    widths = np.array([width for _, width, _ in shapes])
    there = (np.arange(w) < widths[:, None]).astype(np.float32)
    scale = ((3 / widths) ** 0.5).astype(np.float32)[:, None, None, None]
    params = {
        "w0": tensor(100, 0.6, tasks, work.NAS_INPUTS, w) * there[:, None],
        "b0": tensor(102, 0.1, tasks, w) * there,
        "wh": tensor(101, 1, tasks, h, w, w) * there[:, None, :, None] * there[:, None, None] * scale,
        "bh": tensor(103, 0.1, tasks, h, w) * there[:, None],
        "wo": tensor(104, 0.3, tasks, w, 1) * there[..., None],
        "bo": tensor(105, 0.1, tasks, 1),
    }
    rows = work.NAS_ROWS[workload]
    return shapes, params, tensor(106, 1, rows, work.NAS_INPUTS), tensor(107, 1, tasks, rows)


def policies(tasks):
    """Actors 4-64-64-2, where they begin, and their physics: gravity, mass of cart, mass of pole, half length, force, tau."""
    usual = np.array([9.8, 1, 0.1, 0.5, 10, 0.02], np.float32)
    physics = usual * np.exp(tensor(110, 0.4, tasks, 6))
    physics[:, 5] = 0.02
    return dense_three(111, tasks, 2), tensor(114, 0.05, tasks, 4), physics.astype(np.float32)


def dense_three(stream, tasks, outputs):
    """Three dense layers 4-64-64-outputs of each task, biases 0: weights and biases in turn."""
    p = []
    for i, (n, m, scale) in enumerate(((4, 64, 0.8), (64, 64, 0.2), (64, outputs, 0.2))):
        p += [tensor(stream + i, scale, tasks, n, m), np.zeros((tasks, m), np.float32)]
    return p


def learning_policies(tasks):
    """What ppo-step reads: actors, critics, where the worlds begin, Gumbel noise, the order of steps, physics."""
    steps, worlds = work.PPO_STEPS, work.PPO_WORLDS
    u = np.clip((tensor(124, 1, steps, tasks, worlds, 2) + 1) / 2, 1e-6, 1 - 1e-6)
    n = steps * worlds
    order = np.stack([(np.arange(n) * (4099 + 2 * e) + e) % n for e in range(work.PPO_EPOCHS)]).astype(np.int32)
    noise = (-np.log(-np.log(u))).astype(np.float32)
    return dense_three(111, tasks, 2), dense_three(121, tasks, 1), tensor(125, 0.05, tasks, worlds, 4), noise, order, policies(tasks)[2]


def matrices(workload, tasks):
    """The two operands of the products."""
    if workload == "gemm":
        return tensor(1, 1, tasks, tasks), tensor(2, 1, tasks, tasks)
    m, k, n = work.BATCHED[workload]
    return tensor(1, 1, tasks, m, k), tensor(2, 1, tasks, k, n)


def mean_square(*arrays):
    """The mean over all elements of all arrays of their squares, in f64."""
    total = sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)
    return total / sum(a.size for a in arrays)


def drift(before, after):
    """The check of the adapt workloads, from weights `[T, P]` and the tensors that they became, in layout order."""
    before = np.asarray(before)
    after = np.concatenate([np.asarray(a).reshape(len(before), -1) for a in after], 1)
    return [mean_square(after), mean_square(after - before)]
