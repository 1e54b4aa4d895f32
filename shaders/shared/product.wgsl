// What the kernels of the matmul family share: operands, staging in quads, and what is done with a sum.
//
// A quad is four rows of a, or four columns of b, of one term. Its members lie `gap` apart, where `gap` is
// the number of quads of the tile: threads that are neighbours then touch neighbours in memory, both when
// they stage and when they store. Beyond the edges rows and columns repeat the last one (their sums are
// not stored) and terms are 0.

#import view
#import grid
#import pointwise
#import chosen
#import one_of

struct Params {
    dims: View,
    a: View,
    b: View,
    bias: View,
    y: View,
    z: View,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    pad: u32,
}

override BIAS: u32 = 0u;
override SAVE_Z: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;

// Matrices of the batch.
fn item_count() -> u32 {
    let d = params.dims.lo;
    return d.x * d.y * d.z * d.w;
}

// The index of a matrix along the four axes of the batch.
fn batch_of(item: u32) -> vec4<u32> {
    let d = params.dims.lo;
    if d.w == item_count() + zero {
        return vec4<u32>(0u, 0u, 0u, item);
    }
    return vec4<u32>(item / (d.w * d.z * d.y), item / (d.w * d.z) % d.y, item / d.w % d.z, item % d.w);
}

fn start_of(v: View, batch: vec4<u32>) -> u32 {
    return v.hi.z + dot(v.lo, batch);
}

// Where the rows of a quad start in a, and its columns in b.
fn rows_at(start: u32, row: u32, gap: u32) -> vec4<u32> {
    let rows = min(row + gap * vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.dims.hi.x - 1u));
    return start + params.a.hi.x * rows;
}

fn columns_at(start: u32, column: u32, gap: u32) -> vec4<u32> {
    let columns = min(column + gap * vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.dims.hi.y - 1u));
    return start + params.b.hi.y * columns;
}

fn four_of_a(at: vec4<u32>, term: u32) -> vec4<f32> {
    if term >= params.k {
        return vec4<f32>(0.0);
    }
    let i = at + term * params.a.hi.y;
    return vec4<f32>(a[i.x], a[i.y], a[i.z], a[i.w]);
}

fn four_of_b(at: vec4<u32>, term: u32) -> vec4<f32> {
    if term >= params.k {
        return vec4<f32>(0.0);
    }
    let i = at + term * params.b.hi.x;
    return vec4<f32>(b[i.x], b[i.y], b[i.z], b[i.w]);
}

// Which (term, quad) a thread stages: neighbours take neighbouring terms where the operand steps by one
// along them, else neighbouring quads.
fn staged(slot: u32, terms: u32, quads: u32, along_terms: bool) -> vec2<u32> {
    return select(vec2<u32>(slot / quads, slot % quads), vec2<u32>(slot % terms, slot / terms), along_terms);
}

// Adds the bias to a sum, applies the activation and writes it; the positions are those of its row.
fn store(y_at: u32, z_at: u32, bias_at: u32, column: u32, sum: f32) {
    if column >= params.dims.hi.y {
        return;
    }
    var s = sum;
    if BIAS == 1u {
        s += bias[bias_at + column * params.bias.hi.y];
    }
    if SAVE_Z == 1u {
        z[z_at + column * params.z.hi.y] = s;
    }
    y[y_at + column * params.y.hi.y] = apply(s);
}

// A quad of sums in one row, its columns `gap` apart.
fn store_row(batch: vec4<u32>, row: u32, column: u32, gap: u32, sums: vec4<f32>) {
    if row >= params.dims.hi.x {
        return;
    }
    let y_at = start_of(params.y, batch) + row * params.y.hi.x;
    let z_at = start_of(params.z, batch) + row * params.z.hi.x;
    let bias_at = start_of(params.bias, batch) + row * params.bias.hi.x;
    // A loop rather than four calls: the activation's code then stands here once.
    for (var c = 0u; c < 4u; c++) {
        store(y_at, z_at, bias_at, column + c * gap, sums[c]);
    }
}
