// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// The small tier. ROWS x COLUMNS threads make a tile of 4·ROWS x 4·COLUMNS elements, a thread 4 x 4 of them
// in four named vectors; a workgroup makes ITEMS tiles, of as many matrices where one covers a matrix.
// TERMS terms of the inner sums at a time are staged in workgroup memory.

#import product

override ROWS: u32 = 4u;
override COLUMNS: u32 = 8u;
override ITEMS: u32 = 2u;
override TERMS: u32 = 16u;

// A row of quads a term, the tiles one after another; one vector more than their number (see matmul.wgsl).
var<workgroup> rows_of_a: array<vec4<f32>, TERMS * (ITEMS * ROWS + 1u)>;
var<workgroup> columns_of_b: array<vec4<f32>, TERMS * (ITEMS * COLUMNS + 1u)>;

// Where a tile is: its matrix, first row and first column. Tiles beyond the last are the last one again.
struct Tile { batch: vec4<u32>, row: u32, column: u32 }

fn tile_of(index: u32) -> Tile {
    let tiles = params.tiles_m * params.tiles_n;
    let tile = min(index, item_count() * tiles - 1u);
    if tiles == 1u + zero {
        return Tile(batch_of(tile), 0u, 0u);
    }
    return Tile(
        batch_of(tile / tiles),
        (tile / params.tiles_n) % params.tiles_m * (4u * ROWS),
        tile % params.tiles_n * (4u * COLUMNS),
    );
}

@compute @workgroup_size(COLUMNS, ROWS, ITEMS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let threads = ROWS * COLUMNS * ITEMS;
    let a_pitch = ITEMS * ROWS + 1u;
    let b_pitch = ITEMS * COLUMNS + 1u;
    let first = group_index(group, groups) * ITEMS;
    if first >= item_count() * params.tiles_m * params.tiles_n {
        return; // the whole workgroup
    }
    let own = tile_of(first + local.z);
    let a_row = local.z * ROWS + local.y;
    let b_row = local.z * COLUMNS + local.x;

    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var term = 0u; term < params.k + (groups.z - 1u); term += TERMS) {
        for (var s = slot; s < TERMS * ITEMS * ROWS; s += threads) {
            let at = staged(s, TERMS, ITEMS * ROWS, params.a.hi.y == 1u);
            var tile = own;
            if ITEMS > 1u {
                tile = tile_of(first + at.y / ROWS);
            }
            let rows = rows_at(start_of(params.a, tile.batch), tile.row + at.y % ROWS, ROWS);
            rows_of_a[at.x * a_pitch + at.y] = four_of_a(rows, term + at.x);
        }
        for (var s = slot; s < TERMS * ITEMS * COLUMNS; s += threads) {
            let at = staged(s, TERMS, ITEMS * COLUMNS, params.b.hi.x == 1u);
            var tile = own;
            if ITEMS > 1u {
                tile = tile_of(first + at.y / COLUMNS);
            }
            let columns = columns_at(start_of(params.b, tile.batch), tile.column + at.y % COLUMNS, COLUMNS);
            columns_of_b[at.x * b_pitch + at.y] = four_of_b(columns, term + at.x);
        }
        workgroupBarrier();
        for (var l = 0u; l < TERMS; l += 2u) {
            var p = rows_of_a[l * a_pitch + a_row];
            var q = columns_of_b[l * b_pitch + b_row];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[(l + 1u) * a_pitch + a_row];
            q = columns_of_b[(l + 1u) * b_pitch + b_row];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
        }
        workgroupBarrier();
    }
    if first + local.z >= item_count() * params.tiles_m * params.tiles_n {
        return;
    }
    for (var r = 0u; r < 4u; r++) {
        let row = own.row + local.y + r * ROWS;
        store_row(own.batch, row, own.column + local.x, COLUMNS, one_of(r, sums0, sums1, sums2, sums3));
    }
}
