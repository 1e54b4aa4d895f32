// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// The middle tier. A workgroup of SIDE x SIDE threads makes a tile of 4·SIDE x 4·SIDE elements, a thread
// 4 x 4 of them in four named vectors. Sixteen terms of the inner sums at a time are staged in workgroup
// memory; the next sixteen are on their way from memory meanwhile.

#import product

override SIDE: u32 = 8u;

// Terms staged at a time, and the distance of their rows: one vector more than the quads of a row, so that
// threads which store one below the other meet different memory banks.
const TERMS = 16u;

var<workgroup> rows_of_a: array<vec4<f32>, TERMS * (SIDE + 1u)>;
var<workgroup> columns_of_b: array<vec4<f32>, TERMS * (SIDE + 1u)>;

@compute @workgroup_size(SIDE, SIDE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let tile = group_index(group, groups);
    let item = tile / (params.tiles_m * params.tiles_n);
    if item >= item_count() {
        return; // the whole workgroup
    }
    let batch = batch_of(item);
    let pitch = SIDE + 1u;
    let first_row = (tile / params.tiles_n) % params.tiles_m * (4u * SIDE);
    let first_column = tile % params.tiles_n * (4u * SIDE);

    // What this thread stages: of 16 terms and SIDE quads, one quad or two of each operand.
    let a0 = staged(slot, TERMS, SIDE, params.a.hi.y == 1u);
    let b0 = staged(slot, TERMS, SIDE, params.b.hi.x == 1u);
    let a1 = staged(slot + SIDE * SIDE, TERMS, SIDE, params.a.hi.y == 1u);
    let b1 = staged(slot + SIDE * SIDE, TERMS, SIDE, params.b.hi.x == 1u);
    let a_start = start_of(params.a, batch);
    let b_start = start_of(params.b, batch);
    let a0_at = rows_at(a_start, first_row + a0.y, SIDE);
    let a1_at = rows_at(a_start, first_row + a1.y, SIDE);
    let b0_at = columns_at(b_start, first_column + b0.y, SIDE);
    let b1_at = columns_at(b_start, first_column + b1.y, SIDE);

    var next_a0 = four_of_a(a0_at, a0.x);
    var next_b0 = four_of_b(b0_at, b0.x);
    var next_a1 = vec4<f32>(0.0);
    var next_b1 = vec4<f32>(0.0);
    if SIDE < TERMS {
        next_a1 = four_of_a(a1_at, a1.x);
        next_b1 = four_of_b(b1_at, b1.x);
    }

    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var term = TERMS; term < params.k + TERMS + (groups.z - 1u); term += TERMS) {
        rows_of_a[a0.x * pitch + a0.y] = next_a0;
        columns_of_b[b0.x * pitch + b0.y] = next_b0;
        if SIDE < TERMS {
            rows_of_a[a1.x * pitch + a1.y] = next_a1;
            columns_of_b[b1.x * pitch + b1.y] = next_b1;
        }
        workgroupBarrier();
        next_a0 = four_of_a(a0_at, term + a0.x);
        next_b0 = four_of_b(b0_at, term + b0.x);
        if SIDE < TERMS {
            next_a1 = four_of_a(a1_at, term + a1.x);
            next_b1 = four_of_b(b1_at, term + b1.x);
        }
        for (var l = 0u; l < TERMS * pitch; l += 4u * pitch) {
            var p = rows_of_a[l + local.y];
            var q = columns_of_b[l + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + pitch + local.y];
            q = columns_of_b[l + pitch + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + 2u * pitch + local.y];
            q = columns_of_b[l + 2u * pitch + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + 3u * pitch + local.y];
            q = columns_of_b[l + 3u * pitch + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r++) {
        let row = first_row + local.y + r * SIDE;
        store_row(batch, row, first_column + local.x, SIDE, one_of(r, sums0, sums1, sums2, sums3));
    }
}
