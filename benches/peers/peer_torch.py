"""The workloads in PyTorch: batched products over tasks, eager, compiled, or replayed as a CUDA graph; TF32 off.

A network's weights are split into layers before they are differentiated: the backward pass of one `split` is one
concatenation, that of slices a sum of zero-padded vectors. Compiled code differentiates by `torch.func.grad`, which
the compiler traces; eager code by `torch.autograd.grad`, which has less overhead. Adam is the fused one.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import inputs
import work

PATHS = ("torch", "torch-compile", "torch-cudagraph")


def setup(device):
    """The device, and its name for the row."""
    torch.set_num_threads(os.cpu_count())
    torch.set_float32_matmul_precision("highest")
    if device == "gpu" and torch.cuda.is_available():
        return torch.device("cuda"), torch.cuda.get_device_name()
    return torch.device("cpu"), "cpu"


def layers(w, widths):
    """Flat weights `[T, P]` as tensors: weight `[T, i, o]` and bias `[T, 1, o]` of each layer in turn."""
    shapes = [s for i, o in zip(widths, widths[1:]) for s in ((i, o), (1, o))]
    return [t.view(-1, *s) for t, s in zip(w.split([i * o for i, o in shapes], 1), shapes)]


def network(net, x, activation):
    for i in range(0, len(net), 2):
        x = x @ net[i] + net[i + 1]
        if i + 2 < len(net):
            x = activation(x)
    return x


def generate(params):
    z, *rest = params
    return network(rest, z, torch.relu)


def task_sum(net, x, y):
    """The sum of the tasks' losses, whose gradient is each task's own."""
    return ((network(net, x, torch.tanh) - y) ** 2).mean((1, 2)).sum()


def adapt_eager(net, x, y, steps, differentiable):
    if not differentiable:
        net = [w.clone().requires_grad_() for w in net]
    for _ in range(steps):
        grads = torch.autograd.grad(task_sum(net, x, y), net, create_graph=differentiable)
        if differentiable:
            net = [w - work.INNER_RATE * g for w, g in zip(net, grads)]
        else:
            with torch.no_grad():
                torch._foreach_add_(net, grads, alpha=-work.INNER_RATE)
    return net


def adapt_traced(net, x, y, steps, _):
    for _ in range(steps):
        grads = torch.func.grad(task_sum)(net, x, y)
        net = [w - work.INNER_RATE * g for w, g in zip(net, grads)]
    return net


def hyper_loss(data, steps, adapt):
    xs, ys, xq, yq = data

    def loss(*params):
        net = layers(generate(params), work.SMALL)
        if steps:
            net = adapt(net, xs, ys, steps, True)
        return ((network(net, xq, torch.tanh) - yq) ** 2).mean()

    return loss


def token_loss(data, names):
    """The loss of a generator whose layer tokens look at the support rows, by its parameters of these names."""
    xs, ys, xq, yq = data
    t, n, d = len(xs), work.TOKEN_ROWS, work.TOKEN
    functional = torch.nn.functional

    def loss(*params):
        p = dict(zip(names, params))
        normed = lambda x, name: functional.layer_norm(x, (d,), p[f"{name}_gain"], p[f"{name}_shift"])
        rows = torch.cat([xs, ys], -1) @ p["we"] + p["be"]
        h = torch.cat([rows, p["token"].expand(t, -1, -1)], 1)
        for b in range(work.TOKEN_BLOCKS):
            u = normed(h, f"{b}_ln1")
            parts = [(u @ p[f"{b}_w{a}"] + p[f"{b}_b{a}"]).view(t, -1, work.TOKEN_HEADS, d // work.TOKEN_HEADS) for a in "qkv"]
            told = functional.scaled_dot_product_attention(*(a.transpose(1, 2) for a in parts))
            h = h + told.transpose(1, 2).reshape(t, -1, d) @ p[f"{b}_wo"] + p[f"{b}_bo"]
            wide = functional.gelu(normed(h, f"{b}_ln2") @ p[f"{b}_w1"] + p[f"{b}_b1"], approximate="tanh")
            h = h + wide @ p[f"{b}_w2"] + p[f"{b}_b2"]
        h = normed(h, "ln")[:, n:]
        w = torch.cat([h[:, i] @ p[f"head{i}"] for i in range(len(work.SMALL) - 1)], 1) + p["base"]
        return ((network(layers(w, work.SMALL), xq, torch.tanh) - yq) ** 2).mean()

    return loss


def image_loss(x, labels):
    def loss(*params):
        logits = network(layers(generate(params), work.IMAGE), x, torch.relu)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    return loss


def conv_grouped(x, kernel, bias):
    """A convolution of x [n, T c, h, w] with groups for tasks."""
    t = len(kernel)
    return F.conv2d(x, kernel.flatten(0, 1), bias.flatten(), padding=1, groups=t)


def picture_losses(params, x, labels, layers, pools):
    """The sum of the tasks' losses, of pictures [n, T c, h, w]: mean cross entropy of classes, or mean square of the last layer."""
    n, t = len(x), len(params["bias0"])
    for l in range(layers):
        x = conv_grouped(x, params[f"kernel{l}"], params[f"bias{l}"])
        if pools:
            gain, shift = params[f"gain{l}"].flatten(), params[f"shift{l}"].flatten()
            x = F.batch_norm(x, None, None, gain, shift, training=True, momentum=0, eps=1e-5)
        x = F.relu(x)
        x = F.max_pool2d(x, 2) if pools else x
    if not pools:
        return (x * x).sum() * (t / x.numel())
    x = x.reshape(n, t, -1, x.shape[2] * x.shape[3]).permute(1, 0, 3, 2).reshape(t, n, -1)
    logits = torch.baddbmm(params["last_bias"][:, None], x, params["weight"])
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / n


def picture_losses_unfolded(params, x, labels, layers, pools):
    """The same of pictures [T, n, c, h, w], by batched products over unfolded windows."""
    t, n = x.shape[:2]
    for l in range(layers):
        h, w = x.shape[3:]
        windows = F.unfold(x.flatten(0, 1), 3, padding=1).reshape(t, n, -1, h * w)
        x = params[f"kernel{l}"].flatten(2)[:, None] @ windows + params[f"bias{l}"][:, None, :, None]
        if pools:
            d = x - x.mean((1, 3), keepdim=True)
            d = d * torch.rsqrt((d * d).mean((1, 3), keepdim=True) + 1e-5)
            x = d * params[f"gain{l}"][:, None, :, None] + params[f"shift{l}"][:, None, :, None]
        x = F.relu(x).reshape(t * n, -1, h, w)
        x = F.max_pool2d(x, 2) if pools else x
        x = x.reshape(t, n, *x.shape[1:])
    if not pools:
        return (x * x).sum() * (t / x.numel())
    x = x.flatten(3).transpose(2, 3).reshape(t, n, -1)
    logits = torch.baddbmm(params["last_bias"][:, None], x, params["weight"])
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / n


def graphed(run):
    """The work of `run` as a CUDA graph, after a few runs on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    return graph.replay, result


class Peer:
    def __init__(self, path, device):
        self.path = path
        self.device, self.name = setup(device)
        if path == "torch-cudagraph" and self.device.type != "cuda":
            sys.exit("torch-cudagraph: no CUDA device")

    def put(self, array):
        return torch.from_numpy(array).to(self.device)

    def sync(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def compiled(self, f):
        return f if self.path == "torch" else torch.compile(f)

    @property
    def adapt(self):
        return adapt_eager if self.path == "torch" else adapt_traced

    def training(self, loss, params, losses):
        graph = self.path == "torch-cudagraph"
        loss = self.compiled(loss)
        params = [self.put(p).requires_grad_() for p in params]
        start = [p.detach().clone() for p in params] if graph else None
        optimiser = torch.optim.Adam(params, lr=work.OUTER_RATE, fused=True, capturable=graph)

        def step():
            optimiser.zero_grad()
            value = loss(*params)
            value.backward()
            optimiser.step()
            return value.detach()

        if graph:
            replay, value = graphed(step)
            with torch.no_grad():  # back to the first step
                for p, s in zip(params, start):
                    p.copy_(s)
                for state in optimiser.state.values():
                    for t in state.values():
                        t.zero_()

            def step():
                replay()
                return value

        def call():
            step()
            self.sync()

        return work.Job([float(step()) for _ in range(losses)], call)

    def repeated(self, run, check):
        """A job without state: `run` as it is, or as a graph."""
        if self.path == "torch-cudagraph":
            run, result = graphed(run)
            run()
            self.sync()
        else:
            result = run()

        def call():
            run()
            self.sync()

        return work.Job(check(result), call)

    def adapting(self, w0, x, y, widths, steps):
        f = self.compiled(lambda w, x, y: self.adapt(layers(w, widths), x, y, steps, False))

        def run():
            if self.path == "torch":
                return f(w0, x, y)
            with torch.no_grad():
                return f(w0, x, y)

        return self.repeated(run, lambda net: inputs.drift(w0.cpu(), [t.detach().cpu() for t in net]))

    def product(self, a, b):
        a, b = self.put(a), self.put(b)
        out = torch.empty(*a.shape[:-1], b.shape[-1], device=self.device)
        f = self.compiled(lambda a, b, out: torch.matmul(a, b, out=out))

        def run():
            f(a, b, out)
            return out

        return self.repeated(run, lambda c: [inputs.mean_square(c.cpu().numpy())])


    @staticmethod
    def three_layers(p, x):
        x = torch.tanh(torch.baddbmm(p[1].unsqueeze(1), x, p[0]))
        x = torch.tanh(torch.baddbmm(p[3].unsqueeze(1), x, p[2]))
        return torch.baddbmm(p[5].unsqueeze(1), x, p[4])

    @staticmethod
    def pushed(state, right, physics):
        """A step of CartPole, and whether it ends the episode."""
        (x, speed, angle, turning), (gravity, cart, pole, length, force, tau) = state.unbind(-1), physics.unbind(-1)
        push = torch.where(right, force, -force)
        cos, sin = torch.cos(angle), torch.sin(angle)
        pulled = (push + pole * length * turning**2 * sin) / (cart + pole)
        turned = (gravity * sin - cos * pulled) / (length * (4 / 3 - pole * cos**2 / (cart + pole)))
        moved = pulled - pole * length * turned * cos / (cart + pole)
        new = torch.stack([x + tau * speed, speed + tau * moved, angle + tau * turning, turning + tau * turned], -1)
        return new, (new[..., 0].abs() > 2.4) | (new[..., 2].abs() > 12 * 2 * np.pi / 360)

    def policies(self, tasks):
        """200 steps of each task's policy in its own world."""
        actors, start, physics = inputs.policies(tasks)
        p, start, physics = [self.put(a) for a in actors], self.put(start), self.put(physics)

        def step(state):
            logits = self.three_layers(p, state.unsqueeze(1))[:, 0]
            new, fell = self.pushed(state, logits[:, 1] > logits[:, 0], physics)
            return torch.where(fell.unsqueeze(1), start, new), fell, new

        step = self.compiled(step)

        def run():
            state, falls, compared = start, torch.zeros(tasks, device=start.device), None
            with torch.no_grad():
                for i in range(work.ROLL):
                    state, fell, new = step(state)
                    falls = falls + fell
                    compared = new if i == work.ROLL_COMPARED else compared
            return compared, falls

        check = lambda r: [inputs.mean_square(r[0].cpu().numpy()), float(r[1].mean())]
        return self.repeated(run, check)

    def learning_policies(self, tasks):
        """An iteration of PPO of each agent, all agents as batches of products."""
        actors, critics, start, noise, order, physics = inputs.learning_policies(tasks)
        actors, critics = ([self.put(a) for a in p] for p in (actors, critics))
        start, noise, order = self.put(start), self.put(noise), self.put(order).long()
        physics = self.put(physics)[:, None].expand(tasks, work.PPO_WORLDS, 6)
        low, high = 1 - work.PPO_CLIP, 1 + work.PPO_CLIP

        def act(state, noise):
            said = torch.log_softmax(self.three_layers(actors, state), -1)
            action = torch.argmax(said + noise, -1)
            value = self.three_layers(critics, state)[..., 0]
            new, fell = self.pushed(state, action == 1, physics)
            before = said.gather(-1, action[..., None])[..., 0]
            return torch.where(fell[..., None], start, new), action, before, value, fell

        def loss(p, seen, action, before, value, advantage, target):
            said = torch.log_softmax(self.three_layers(p[:6], seen), -1)
            now = said.gather(-1, action[..., None])[..., 0]
            expected = self.three_layers(p[6:], seen)[..., 0]
            off = advantage - advantage.mean(-1, keepdim=True)
            advantage = off / (advantage.std(-1, unbiased=False, keepdim=True) + 1e-8)
            ratio = torch.exp(now - before)
            policy = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage).mean(-1)
            near = value + (expected - value).clamp(-work.PPO_CLIP, work.PPO_CLIP)
            wrong = 0.5 * torch.maximum((expected - target) ** 2, (near - target) ** 2).mean(-1)
            return policy + work.PPO_VALUE * wrong + work.PPO_ENTROPY * (said.exp() * said).sum(-1).mean(-1)

        act, loss = self.compiled(act), self.compiled(loss)

        def run():
            state, found = start, []
            with torch.no_grad():
                for i in range(work.PPO_STEPS):
                    new, *rest = act(state, noise[i])
                    found.append((state, *rest))
                    state = new
                seen, action, before, value, fell = (torch.stack(a, 1) for a in zip(*found))
                next_value = self.three_layers(critics, state)[..., 0]
                later, advantage = torch.zeros_like(next_value), [None] * work.PPO_STEPS
                for i in reversed(range(work.PPO_STEPS)):
                    on = 1 - fell[:, i].float()
                    later = 1 + work.PPO_GAMMA * next_value * on - value[:, i] + work.PPO_GAMMA * work.PPO_LAMBDA * on * later
                    next_value, advantage[i] = value[:, i], later
                advantage = torch.stack(advantage, 1)
                table = [a.flatten(1, 2) for a in (seen, action, before, value, advantage, advantage + value)]
            p = [a.clone().requires_grad_() for a in actors + critics]
            m, v, losses = [torch.zeros_like(a) for a in p], [torch.zeros_like(a) for a in p], []
            for t, picked in enumerate(order.reshape(work.PPO_EPOCHS * work.PPO_MINIBATCHES, -1), 1):
                each = loss(p, *[a[:, picked] for a in table])
                g = torch.autograd.grad(each.sum(), p)
                losses.append(each.detach().mean())
                with torch.no_grad():  # each agent's norm is its own, so Adam is written out
                    norm = sum((d * d).flatten(1).sum(1) for d in g).sqrt()
                    factor = (work.PPO_NORM / norm).clamp(max=1)
                    g = [d * factor.reshape(-1, *[1] * (d.ndim - 1)) for d in g]
                    torch._foreach_lerp_(m, g, 0.1)
                    torch._foreach_mul_(v, 0.999)
                    torch._foreach_addcmul_(v, g, g, 0.001)
                    root = torch._foreach_sqrt(torch._foreach_div(v, 1 - 0.999**t))
                    torch._foreach_add_(root, 1e-5)
                    torch._foreach_addcdiv_(p, m, root, -work.PPO_RATE / (1 - 0.9**t))
            return losses[0], losses[-1], p, fell

        start_params = [a.cpu().numpy() for a in actors + critics]

        def check(found):
            first, last, p, fell = found
            moved = [a.detach().cpu().numpy() - b for a, b in zip(p, start_params)]
            return [float(first), float(last), inputs.mean_square(*moved), float(fell.float().sum((1, 2)).mean())]

        return self.repeated(run, check)

    def different_networks(self, workload, tasks):
        """As batched products with masks and switches, with batches of one shape, or one network after another."""
        shapes, params, rows, targets = inputs.different_networks(workload, tasks)
        functions = [torch.tanh, torch.relu, lambda z: torch.nn.functional.gelu(z, approximate="tanh"), torch.sin]
        x, targets = self.put(rows), self.put(targets)
        p = {name: self.put(v) for name, v in params.items()}

        def check(y):
            y = y.cpu().numpy()
            return [inputs.mean_square(y), float(y.astype("float64").mean())]

        def learned(says, weights, y):
            """What networks say of the rows after their steps on targets `y`."""
            for _ in range(work.NAS_STEPS[workload]):
                weights = [w.detach().requires_grad_() for w in weights]
                loss = (says(weights) - y).square().mean(-1).sum()
                grads = torch.autograd.grad(loss, weights)
                weights = [w.detach() - work.NAS_RATE * g for w, g in zip(weights, grads)]
            with torch.no_grad():
                return says(weights)

        def own(n):
            """The weights of a network in its own sizes: of each layer a matrix and a bias."""
            depth, w, _ = shapes[n]
            layers = [p["w0"][n, :, :w], p["b0"][n, :w]]
            for i in range(depth - 1):
                layers += [p["wh"][n, i, :w, :w], p["bh"][n, i, :w]]
            return [a.contiguous() for a in (*layers, p["wo"][n, :w], p["bo"][n])]

        def job(run, variant):
            job = self.repeated(run, check)
            job.variant = variant
            return job

        def padded():
            column = lambda i: torch.tensor([s[i] for s in shapes], device=self.device).reshape(tasks, 1, 1)
            depth, kind, names = column(0), column(2), list(p)

            def network(weights):
                p = dict(zip(names, weights))
                low = lambda z: torch.where(kind == 0, functions[0](z), functions[1](z))
                high = lambda z: torch.where(kind == 2, functions[2](z), functions[3](z))
                act = lambda z: torch.where(kind < 2, low(z), high(z))
                z = act(torch.baddbmm(p["b0"][:, None], x.expand(tasks, -1, -1), p["w0"]))
                for i in range(work.NAS_DEEPEST - 1):
                    z = torch.where(i + 1 < depth, act(torch.baddbmm(p["bh"][:, i, None], z, p["wh"][:, i])), z)
                return torch.baddbmm(p["bo"][:, None], z, p["wo"])[..., 0]

            says = self.compiled(network)
            return job(lambda: learned(says, list(p.values()), targets), "padded")

        def one_by_one():
            def network(act):
                def says(weights):
                    z = x
                    for w, b in zip(weights[:-2:2], weights[1:-2:2]):
                        z = act(torch.addmm(b, z, w))
                    return torch.addmm(weights[-1], z, weights[-2])[:, 0]

                return says

            networks = [(network(functions[shape[2]]), own(n), targets[n]) for n, shape in enumerate(shapes)]
            return job(lambda: torch.stack([learned(*n) for n in networks]), "loop")

        def by_shape():
            def network(act):
                def says(weights):
                    z = x.expand(len(weights[0]), -1, -1)
                    for w, b in zip(weights[:-2:2], weights[1:-2:2]):
                        z = act(torch.baddbmm(b[:, None], z, w))
                    return torch.baddbmm(weights[-1][:, None], z, weights[-2])[..., 0]

                return says

            groups = []
            for shape in sorted(set(shapes)):
                members = [n for n, s in enumerate(shapes) if s == shape]
                weights = [torch.stack(a) for a in zip(*map(own, members))]
                groups.append((network(functions[shape[2]]), weights, targets[members]))
            return job(lambda: torch.cat([learned(*g) for g in groups]), "by shape")

        return work.fastest({"padded": padded, "loop": one_by_one, "by shape": by_shape})

    def pictures(self, workload, tasks):
        """Tasks as groups of a convolution, as batches of a product, or one after another."""
        params, x, labels = inputs.pictures(workload, tasks)
        tasks, _ = work.networks(workload, tasks)
        # Kernels as torch wants them, [T, o, i, 3, 3].
        params = {k: v.transpose(0, 4, 3, 1, 2).copy() if k.startswith("kernel") else v for k, v in params.items()}
        params = {k: self.put(v).requires_grad_(workload != "conv-forward") for k, v in params.items()}
        labels, x = self.put(labels).long(), self.put(x).permute(0, 1, 4, 2, 3).contiguous()
        shape = {"layers": len(work.CHANNELS[workload]), "pools": work.has_pools(workload)}

        def job(losses, parts):
            """`parts`: weights, pictures and labels of tasks that are done together."""
            losses = self.compiled(losses)

            def run():
                total, grads = 0, []
                for params, x, labels in parts:
                    loss = losses(params, x, labels, **shape)
                    if workload != "conv-forward":
                        grads += torch.autograd.grad(loss, list(params.values()))
                    total += float(loss.detach())
                return total, grads

            def check(result):
                total, grads = result
                return [total / tasks] + ([inputs.mean_square(*[g.cpu().numpy() for g in grads])] if grads else [])

            return lambda: self.repeated(run, check)

        def part(start, end):
            own = {k: v.detach()[start:end].clone().requires_grad_(v.requires_grad) for k, v in params.items()}
            together = x[start:end].transpose(0, 1).flatten(1, 2).contiguous()
            return own, together, labels[start:end]

        if tasks == 1:
            own, together, one = part(0, 1)
            last = together.contiguous(memory_format=torch.channels_last)
            return work.fastest(
                {
                    "channels first": job(picture_losses, [(own, together, one)]),
                    "channels last": job(picture_losses, [(own, last, one)]),
                }
            )
        return work.fastest(
            {
                "grouped": job(picture_losses, [part(0, tasks)]),
                "im2col": job(picture_losses_unfolded, [(params, x, labels)]),
                "loop": job(picture_losses, [part(t, t + 1) for t in range(tasks)]),
            }
        )


    def fields(self, tasks):
        """Ten steps of Adam of each network of sines on all pixels of its picture; the losses before each."""
        params, places, colours = inputs.fields(tasks)
        params, places, colours = [self.put(p) for p in params], self.put(places).expand(tasks, -1, -1), self.put(colours)
        layers = len(params) // 2

        def losses(params):
            x = places
            for l in range(layers):
                x = torch.baddbmm(params[2 * l + 1][:, None], x, params[2 * l])
                x = torch.sin(work.OMEGA * x) if l + 1 < layers else x
            return (x - colours).square().mean((1, 2))

        f = self.compiled(losses)

        def run():
            own = [p.detach().clone().requires_grad_() for p in params]
            adam = torch.optim.Adam(own, lr=work.FIELD_RATE, fused=True)
            means = []
            for _ in range(work.FIELD_STEPS):
                adam.zero_grad()
                each = f(own)
                each.sum().backward()
                adam.step()
                means.append(each.detach().mean())
            return means

        return self.repeated(run, lambda means: [float(means[0]), float(means[-1])])

    def sequences(self, workload, tasks):
        """Steps on sequences of each task, all tasks as batches of products, element by element."""
        gru = workload == "gru-adapt"
        params = {k: self.put(v) for k, v in (inputs.cells(3, tasks) if gru else inputs.cells(4)).items()}
        support, query = (tuple(self.put(a) for a in inputs.sequences(s, tasks)) for s in (33, 34))

        def states(p, x):
            t, n, length, _ = x.shape
            reads = torch.baddbmm(p["b"].unsqueeze(1), x.flatten(1, 2), p["w"]).reshape(t, n, length, -1)
            h = x.new_zeros(t, n, work.UNITS)
            c, all = h, []
            for l in range(length):
                a = reads[:, :, l]
                if gru:
                    b = torch.baddbmm(p["d"].unsqueeze(1), h, p["u"])
                    (ar, az, an), (br, bz, bn) = a.chunk(3, -1), b.chunk(3, -1)
                    new = torch.tanh(an + torch.sigmoid(ar + br) * bn)
                    h = new + torch.sigmoid(az + bz) * (h - new)
                else:
                    i, f, g, o = (a + torch.bmm(h, p["u"])).chunk(4, -1)
                    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                    h = torch.sigmoid(o) * torch.tanh(c)
                all.append(h)
            return torch.stack(all, 2)

        def losses(p, x, y):
            hidden = states(p, x).flatten(1, 2)
            said = torch.baddbmm(p["by"].unsqueeze(1), hidden, p["wy"]).reshape(y.shape)
            return (said - y).square().mean((1, 2, 3)).sum()

        def step(p, graph):
            grads = torch.autograd.grad(losses(p, *support), list(p.values()), create_graph=graph)
            return {k: v - work.SEQUENCE_RATE * g for (k, v), g in zip(p.items(), grads)}

        def adapt():
            p = params
            for _ in range(work.GRU_STEPS):
                p = step({k: v.detach().requires_grad_() for k, v in p.items()}, False)
            return p

        def meta():
            shared = {k: v.clone().requires_grad_() for k, v in params.items()}
            p = {k: v.expand(tasks, *v.shape) for k, v in shared.items()}
            for _ in range(work.LSTM_STEPS):
                p = step(p, True)
            loss = losses(p, *query) / tasks
            return float(loss.detach()), torch.autograd.grad(loss, list(shared.values()))

        def drift(result):
            before, after = (
                np.concatenate([t[k].detach().cpu().numpy().ravel() for k in params]) for t in (params, result)
            )
            return [inputs.mean_square(after), inputs.mean_square(after - before)]

        if gru:
            return self.repeated(adapt, drift)
        return self.repeated(meta, lambda r: [r[0], inputs.mean_square(*[g.cpu().numpy() for g in r[1]])])

    def language_model(self):
        """Steps of Adam of an LSTM over characters: torch's own layer on one-hot rows, whose second bias stays 0."""
        values, x, y = inputs.language_model()
        layer = torch.nn.LSTM(work.SYMBOLS, work.LM_UNITS, batch_first=True).to(self.device)
        out = torch.nn.Linear(work.LM_UNITS, work.SYMBOLS).to(self.device)
        with torch.no_grad():
            for weight, value in (
                (layer.weight_ih_l0, values["w"].T),
                (layer.weight_hh_l0, values["u"].T),
                (layer.bias_ih_l0, values["b"]),
                (layer.bias_hh_l0, values["b"]),
                (out.weight, values["wy"].T),
                (out.bias, values["by"]),
            ):
                weight.copy_(self.put(np.ascontiguousarray(value)))
        layer.bias_hh_l0.requires_grad_(False)
        hot = torch.nn.functional.one_hot(self.put(x).long(), work.SYMBOLS).float()
        y = self.put(y).long().flatten()
        params = [p for p in (*layer.parameters(), *out.parameters()) if p.requires_grad]
        optimiser = torch.optim.Adam(params, lr=work.OUTER_RATE, fused=True)
        loss = self.compiled(lambda: torch.nn.functional.cross_entropy(out(layer(hot)[0]).flatten(0, 1), y))

        def step():
            optimiser.zero_grad()
            value = loss()
            value.backward()
            optimiser.step()
            return float(value.detach())

        return work.Job([step() for _ in range(3)], step)

    def few_shot(self, workload, tasks):
        """Steps on a few pictures of each task: tasks as groups of a convolution, or one after another."""
        own = workload == "conv-adapt"
        params, support, query = inputs.few_shot(tasks, True) if own else inputs.few_shot(1, True)
        if not own:
            _, support, query = inputs.few_shot(tasks, False)
        params = {k: v.transpose(0, 4, 3, 1, 2).copy() if k.startswith("kernel") else v for k, v in params.items()}
        params = {k: self.put(v) for k, v in params.items()}
        shape = {"layers": len(work.FEW_CHANNELS), "pools": True}
        losses = self.compiled(picture_losses)

        def seen(pair, start, end):
            x, labels = (self.put(a)[start:end] for a in pair)
            return x.permute(1, 0, 4, 2, 3).flatten(1, 2).contiguous(), labels.long()

        def step(params, x, labels, graph):
            grads = torch.autograd.grad(losses(params, x, labels, **shape), list(params.values()), create_graph=graph)
            return {k: v - work.FEW_RATE * g for (k, v), g in zip(params.items(), grads)}

        def adapt(part):
            params, x, labels = part
            for _ in range(work.FEW_STEPS):
                params = {k: v.detach().requires_grad_() for k, v in step(params, x, labels, False).items()}
            return params

        def adapted(parts):
            return lambda: [adapt(part) for part in parts]

        def of_all(results):
            return {k: np.concatenate([r[k].detach().cpu().numpy() for r in results]).ravel() for k in results[0]}

        def drift(results):
            before = np.concatenate([v.cpu().numpy().ravel() for v in params.values()])
            after = np.concatenate(list(of_all(results).values()))
            return [inputs.mean_square(after), inputs.mean_square(after - before)]

        def meta(parts):
            def run():
                shared = {k: v.clone().requires_grad_() for k, v in params.items()}
                total = 0
                grads = None
                for n, s, q in parts:
                    fast = step({k: v.expand(n, *v.shape[1:]) for k, v in shared.items()}, *s, True)
                    loss = losses(fast, *q, **shape) / tasks
                    own = torch.autograd.grad(loss, list(shared.values()))
                    grads = own if grads is None else [a + b for a, b in zip(grads, own)]
                    total += float(loss.detach())
                return total, grads

            return run

        def check(result):
            return [result[0], inputs.mean_square(*[g.cpu().numpy() for g in result[1]])]

        def variant(ranges):
            if own:
                cut = lambda a, b: {k: v[a:b].clone().requires_grad_() for k, v in params.items()}
                parts = [(cut(a, b), *seen(support, a, b)) for a, b in ranges]
                return lambda: self.repeated(adapted(parts), drift)
            parts = [(b - a, seen(support, a, b), seen(query, a, b)) for a, b in ranges]
            return lambda: self.repeated(meta(parts), check)

        return work.fastest({"grouped": variant([(0, tasks)]), "loop": variant([(t, t + 1) for t in range(tasks)])})


def build(workload, tasks, path, device):
    peer = Peer(path, device)
    if workload in ("amortised", "maml2"):
        steps = work.INNER_STEPS if workload == "maml2" else 0
        data = [peer.put(a) for a in inputs.rows(tasks)]
        job = peer.training(hyper_loss(data, steps, peer.adapt), inputs.hyper(tasks), 3)
    elif workload == "generator":
        x, labels = inputs.images(tasks)
        job = peer.training(image_loss(peer.put(x), peer.put(labels).long()), inputs.image_hyper(tasks), 2)
    elif workload == "adapt":
        xs, ys, _, _ = (peer.put(a) for a in inputs.rows(tasks))
        with torch.no_grad():
            w0 = generate([peer.put(p) for p in inputs.hyper(tasks)])
        job = peer.adapting(w0, xs, ys, work.SMALL, work.INNER_STEPS)
    elif workload in work.WIDE_LEARNING:
        rows, steps = work.WIDE_LEARNING[workload]
        job = peer.adapting(*(peer.put(a) for a in inputs.wide(tasks, rows)), work.WIDE, steps)
    elif workload in work.CHANNELS:
        job = peer.pictures(workload, tasks)
    elif workload in ("conv-adapt", "conv-maml2"):
        job = peer.few_shot(workload, tasks)
    elif workload == "inr":
        job = peer.fields(tasks)
    elif workload in ("gru-adapt", "lstm-maml2"):
        job = peer.sequences(workload, tasks)
    elif workload == "charlm":
        job = peer.language_model()
    elif workload == "attention-hyper":
        params, data = inputs.transformer(tasks)
        job = peer.training(token_loss([peer.put(a) for a in data], list(params)), list(params.values()), 3)
    elif workload == "rl-rollout":
        job = peer.policies(tasks)
    elif workload == "ppo-step":
        job = peer.learning_policies(tasks)
    elif workload in work.SEARCH:
        job = peer.different_networks(workload, tasks)
    else:
        job = peer.product(*inputs.matrices(workload, tasks))
    return job, peer.name


def versions(device):
    kind, name = setup(device)
    import numpy

    found = {"python": sys.version.split()[0], "numpy": numpy.__version__, "torch": torch.__version__, "device": name}
    if kind.type == "cuda":
        found["cuda"] = torch.version.cuda
    return found


if __name__ == "__main__":
    work.main("torch", PATHS, build, versions)
