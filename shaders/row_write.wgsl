// ring[counter][column] = x, one number; a counter beyond the ring writes its last row

#import view

struct Params { ring: View, rows: u32, column: u32, x: u32, counter: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> counter: array<u32>;
@group(0) @binding(3) var<storage, read_write> ring: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    if thread.x != 0u {
        return;
    }
    let row = min(counter[params.counter], params.rows - 1u);
    ring[params.ring.hi.z + row * params.ring.hi.x + params.column] = x[params.x];
}
