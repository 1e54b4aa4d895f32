// y = f(x), pointwise

#import index
#import elements
#import pointwise
#import chosen

// An affine function takes `scale` and `shift`.
struct Params { dims: View, x: View, y: View, scale: f32, shift: f32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    y[position(params.y, at)] = apply(x[position(params.x, at)]);
}
