// y = window[counter], as bits; a counter beyond the window reads its last row

#import view
#import grid

struct Params { window: View, y: View, rows: u32, len: u32, counter: u32, pad: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> window: array<u32>;
@group(0) @binding(2) var<storage, read> counter: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = thread_index(group, groups, local);
    if i >= params.len {
        return;
    }
    let row = min(counter[params.counter], params.rows - 1u);
    y[params.y.hi.z + i] = window[params.window.hi.z + row * params.window.hi.x + i];
}
