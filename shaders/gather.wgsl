// y[r] = table[index[r]], as bits; an index beyond the table is clamped to its last row

#import index
#import grid

struct Params { dims: View, table: View, index: View, y: View, rows: u32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

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
    let row = min(index[params.index.hi.z + at.hi.x * params.index.hi.y], params.rows - 1u);
    let from_at = params.table.hi.z + row * params.table.hi.x + at.hi.y * params.table.hi.y;
    y[position(params.y, at)] = table[from_at];
}
