// y = value

#import index
#import elements

struct Params { dims: View, y: View, value: f32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    y[position(params.y, at)] = params.value;
}
