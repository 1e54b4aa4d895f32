// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// The thin tier: up to 8 rows, or columns, which are rows of the transposed product: SWAP = 1 says that the
// uniform describes that one, its a lying in the buffer of b and the other way round. A workgroup of 256 threads makes a tile of 8 x 32 elements, a thread one
// column of an eighth of its terms; the eight parts of a sum are added in order. 256 terms of the few rows at
// a time are staged in workgroup memory; the other operand, of which each element serves one column, is not.

#import product

override SWAP: u32 = 0u;
// Whether there are more than four rows.
override LOWER: u32 = 1u;

// Columns of a tile, parts of a sum, and terms of a staged at a time.
const COLUMNS = 32u;
const PARTS = 8u;
const TERMS = 256u;

// Rows 0 to 3 and 4 to 7 of a, for one term; afterwards the parts of the sums, for one column.
var<workgroup> upper: array<vec4<f32>, TERMS>;
var<workgroup> lower: array<vec4<f32>, TERMS>;

fn element_of_few(at: u32) -> f32 {
    if SWAP == 1u {
        return b[at];
    }
    return a[at];
}

fn element_of_many(at: u32, term: u32) -> f32 {
    if term >= params.k {
        return 0.0;
    }
    let i = at + term * params.b.hi.x;
    if SWAP == 1u {
        return a[i];
    }
    return b[i];
}

fn four_of_few(at: vec4<u32>, term: u32) -> vec4<f32> {
    if term >= params.k {
        return vec4<f32>(0.0);
    }
    let i = at + term * params.a.hi.y;
    return vec4<f32>(element_of_few(i.x), element_of_few(i.y), element_of_few(i.z), element_of_few(i.w));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let tile = group_index(group, groups);
    let item = tile / (params.tiles_m * params.tiles_n);
    if item >= item_count() {
        return; // the whole workgroup
    }
    let batch = batch_of(item);
    let first_row = (tile / params.tiles_n) % params.tiles_m * 8u;
    let first_column = tile % params.tiles_n * COLUMNS;

    // Neighbours take neighbouring terms where b steps by one along them, else neighbouring columns.
    let mine = staged(slot, PARTS, COLUMNS, params.b.hi.x == 1u);
    let part = mine.x;
    let column = mine.y;
    let b_at = start_of(params.b, batch) + min(first_column + column, params.dims.hi.y - 1u) * params.b.hi.y;
    let a_start = start_of(params.a, batch);
    let upper_at = rows_at(a_start, first_row, 1u);
    let lower_at = rows_at(a_start, first_row + 4u, 1u);

    var sums_upper = vec4<f32>(0.0);
    var sums_lower = vec4<f32>(0.0);
    for (var term = 0u; term < params.k + (groups.z - 1u); term += TERMS) {
        upper[slot] = four_of_few(upper_at, term + slot);
        if LOWER == 1u {
            lower[slot] = four_of_few(lower_at, term + slot);
        }
        workgroupBarrier();
        let terms = min(TERMS, params.k - term);
        for (var l = part; l < terms; l += 4u * PARTS) {
            let b0 = element_of_many(b_at, term + l);
            let b1 = element_of_many(b_at, term + l + PARTS);
            let b2 = element_of_many(b_at, term + l + 2u * PARTS);
            let b3 = element_of_many(b_at, term + l + 3u * PARTS);
            sums_upper += upper[l] * b0;
            sums_upper += upper[l + PARTS] * b1;
            sums_upper += upper[l + 2u * PARTS] * b2;
            sums_upper += upper[l + 3u * PARTS] * b3;
            if LOWER == 1u {
                sums_lower += lower[l] * b0;
                sums_lower += lower[l + PARTS] * b1;
                sums_lower += lower[l + 2u * PARTS] * b2;
                sums_lower += lower[l + 3u * PARTS] * b3;
            }
        }
        workgroupBarrier();
    }
    upper[part * COLUMNS + column] = sums_upper;
    if LOWER == 1u {
        lower[part * COLUMNS + column] = sums_lower;
    }
    workgroupBarrier();
    // A thread adds up one element.
    let r = slot / COLUMNS;
    let c = slot % COLUMNS;
    let row = first_row + r;
    if row >= params.dims.hi.x {
        return;
    }
    var sum = 0.0;
    for (var p = 0u; p < PARTS; p++) {
        let at = p * COLUMNS + c;
        if r < 4u {
            sum += upper[at][r];
        } else {
            sum += lower[at][r - 4u];
        }
    }
    store(
        start_of(params.y, batch) + row * params.y.hi.x,
        start_of(params.z, batch) + row * params.z.hi.x,
        start_of(params.bias, batch) + row * params.bias.hi.x,
        first_column + c,
        sum,
    );
}
