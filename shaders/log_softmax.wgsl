// y = x - max x - ln Σ e^(x - max x) over the last axis of [rows, classes]; one thread a row

#import view
#import grid
#import log_sum_exp

struct Params { x: View, y: View, rows: u32, classes: u32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = thread_index(group, groups, local);
    if i >= params.rows {
        return;
    }
    let from_at = params.x.hi.z + i * params.x.hi.x;
    let to_at = params.y.hi.z + i * params.y.hi.x;
    let parts = log_sum_exp(from_at);
    for (var j = 0u; j < params.classes + zero; j++) {
        y[to_at + j * params.y.hi.y] = (x[from_at + j * params.x.hi.y] - parts.x) - parts.y;
    }
}
