// y = x, as bits, between views of any strides

#import index
#import elements

struct Params { dims: View, x: View, y: View }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

fn element(i: u32) {
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    y[position(params.y, at)] = x[position(params.x, at)];
}
