// y[i] = Σ src[r] over the rows r with index[r] == i (clamped to the last row), in order of r
//
// Each thread owns one element of the result and looks at every index: no atomics, a fixed order.

#import index
#import grid

struct Params { dims: View, src: View, index: View, y: View, sources: u32, rows: u32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = thread_index(group, groups, local);
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    let column = params.src.hi.z + at.hi.y * params.src.hi.y;
    var sum = 0.0;
    for (var r = 0u; r < params.sources + zero; r++) {
        let row = min(index[params.index.hi.z + r * params.index.hi.y], params.rows - 1u);
        if row == at.hi.x {
            sum += src[column + r * params.src.hi.x];
        }
    }
    y[position(params.y, at)] = sum;
}
