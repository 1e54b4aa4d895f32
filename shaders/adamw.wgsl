// g = f·grad; m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²; w = w - lr (m c₁ / (√(v c₂) + ε) + λ w)
//
// In place on a state [3, weights] of w, m, v, with control (lr, c₁, c₂). A factor f that is negative or
// not finite leaves everything as it was.

#import view
#import elements
#import exponential

struct Params {
    state: View,
    grad: View,
    control: View,
    factor: u32,
    weights: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    // 1 - β, rounded once from f64: from the rounded β it would have lost five digits.
    rest1: f32,
    rest2: f32,
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
    let c = params.control.hi.z;
    let rate = control[c];
    let correct1 = control[c + params.control.hi.y];
    let correct2 = control[c + 2u * params.control.hi.y];
    let w_at = params.state.hi.z + i * params.state.hi.y;
    let m_at = w_at + params.state.hi.x;
    let v_at = m_at + params.state.hi.x;

    let g = grad[params.grad.hi.z + i * params.grad.hi.y] * f;
    let w = state[w_at];
    let m = params.beta1 * state[m_at] + params.rest1 * g;
    let v = params.beta2 * state[v_at] + params.rest2 * (g * g);
    let direction = m * correct1 / (square_root(v * correct2) + params.eps);
    state[w_at] = w - rate * (direction + params.decay * w);
    state[m_at] = m;
    state[v_at] = v;
}
