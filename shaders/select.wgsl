// y = c != 0 ? a : b, pointwise

#import index
#import elements

struct Params { dims: View, c: View, a: View, b: View, y: View }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> c: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    // On the bits, so that NaN counts as different from zero with any compiler.
    if (bitcast<u32>(c[position(params.c, at)]) & 0x7fffffffu) != 0u {
        y[position(params.y, at)] = a[position(params.a, at)];
    } else {
        y[position(params.y, at)] = b[position(params.b, at)];
    }
}
