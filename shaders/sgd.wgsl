// v = μ v + f·grad; w = w - lr (v + λ w)
//
// In place on a state [2, weights] of w, v, with control (lr, ·, ·). A factor f that is negative or not
// finite leaves everything as it was.

#import view
#import elements
#import bits

struct Params {
    state: View,
    grad: View,
    control: View,
    factor: u32,
    weights: u32,
    momentum: f32,
    decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read> factor: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;

fn element(i: u32) {
    if i >= params.weights {
        return;
    }
    let f = factor[params.factor];
    if !is_finite(f) || f < 0.0 {
        return;
    }
    let rate = control[params.control.hi.z];
    let w_at = params.state.hi.z + i * params.state.hi.y;
    let v_at = w_at + params.state.hi.x;
    let w = state[w_at];
    let v = params.momentum * state[v_at] + f * grad[params.grad.hi.z + i * params.grad.hi.y];
    state[w_at] = w - rate * (v + params.decay * w);
    state[v_at] = v;
}
