// y = Σ a, or Σ a·b, over the axes that y lacks
//
// LANES = 1: a thread a result. LANES = 64: a workgroup a result, each thread every 64th term, then a
// tree. Either way the order of the additions depends on the shape alone.

#import view
#import grid

struct Params { kept: View, y: View, a: View, b: View, reduced: View, a_step: View, b_step: View }

override DOT: u32 = 0u;
override LANES: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sums: array<f32, 64>;

fn term(a_at: u32, b_at: u32) -> f32 {
    if DOT == 1u {
        return a[a_at] * b[b_at];
    }
    return a[a_at];
}

// Terms first, first + step, ... of the sum whose operands start at a_at and b_at.
fn sum_of(a_at: u32, b_at: u32, first: u32, step: u32) -> f32 {
    var sum = 0.0;
    let inner = params.reduced.hi.y;
    if step < inner || inner == params.reduced.hi.z {
        // Rows of the last axis: indices are taken apart once a row.
        let rows = params.reduced.hi.z / inner;
        for (var r = 0u; r < rows; r++) {
            let at = unravel(params.reduced, r * inner);
            let a_row = a_at + position(params.a_step, at);
            let b_row = b_at + position(params.b_step, at);
            for (var l = first; l < inner; l += step) {
                sum += term(a_row + l * params.a_step.hi.y, b_row + l * params.b_step.hi.y);
            }
        }
        return sum;
    }
    for (var l = first; l < params.reduced.hi.z; l += step) {
        let at = unravel(params.reduced, l);
        sum += term(a_at + position(params.a_step, at), b_at + position(params.b_step, at));
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if LANES == 1u {
        let i = thread_index(group, groups, local);
        if i < params.kept.hi.z {
            let at = unravel(params.kept, i);
            y[position(params.y, at)] = sum_of(position(params.a, at), position(params.b, at), 0u, 1u);
        }
        return;
    }
    let i = group_index(group, groups);
    if i >= params.kept.hi.z {
        return; // the whole workgroup: i is the same for all its threads
    }
    let at = unravel(params.kept, i);
    sums[local] = sum_of(position(params.a, at), position(params.b, at), local, 64u);
    workgroupBarrier();
    for (var width = 32u; width > 0u; width >>= 1u) {
        if local < width {
            sums[local] += sums[local + width];
        }
        workgroupBarrier();
    }
    if local == 0u {
        y[position(params.y, at)] = sums[0];
    }
}
