// y = f(a, g(b)), pointwise; g is an activation's derivative where a gradient is multiplied by one

#import index
#import elements
#import pointwise
#import binary
#import chosen

// An affine g takes `scale` and `shift`.
struct Params { dims: View, a: View, b: View, y: View, scale: f32, shift: f32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    let right = apply(b[position(params.b, at)]);
    y[position(params.y, at)] = combine(a[position(params.a, at)], right);
}
