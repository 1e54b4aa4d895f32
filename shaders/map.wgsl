// y = f(x), pointwise

#import view
#import grid
#import pointwise
#import chosen

// An affine function takes `scale` and `shift`.
struct Params { dims: View, x: View, y: View, scale: f32, shift: f32, pad0: u32, pad1: u32 }

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
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    y[position(params.y, at)] = apply(x[position(params.x, at)]);
}
