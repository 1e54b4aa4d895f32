// A = L Lᵀ of one symmetric positive definite matrix, by one workgroup of 64 threads. Reads the importing kernel's `a`, and
// writes its `l`, of which `params` has the views and the size n; only the lower triangle of either is touched.

var<workgroup> pivot: f32;

fn a_at(m: u32, i: u32, j: u32) -> u32 {
    return params.a.hi.z + m * params.a.lo.w + i * params.a.hi.x + j * params.a.hi.y;
}

fn l_at(m: u32, i: u32, j: u32) -> u32 {
    return params.l.hi.z + m * params.l.lo.w + i * params.l.hi.x + j * params.l.hi.y;
}

// The factor of matrix m. Column after column, left to right; a thread has every 64th row. `nothing` is 0 (see grid).
fn factorise(m: u32, local: u32, nothing: u32) {
    for (var j = 0u; j < params.n + nothing; j++) {
        for (var i = j + local; i < params.n + zero; i += 64u) {
            var sum = 0.0;
            for (var k = 0u; k < j; k++) {
                sum += l[l_at(m, i, k)] * l[l_at(m, j, k)];
            }
            let rest = a[a_at(m, i, j)] - sum;
            l[l_at(m, i, j)] = rest;
            if i == j {
                pivot = sqrt(rest);
            }
        }
        workgroupBarrier();
        let root = pivot;
        for (var i = j + local; i < params.n + zero; i += 64u) {
            l[l_at(m, i, j)] = select(l[l_at(m, i, j)] / root, root, i == j);
        }
        // The next column reads what other threads have written of this one, and writes the pivot anew.
        storageBarrier();
        workgroupBarrier();
    }
}
