// A = L Lᵀ of matrix m: column after column, a thread has every THREADS-th row; the pivot each thread takes for itself
for (var j = 0u; j < N + nothing; j++) {
    var squares = 0.0;
    for (var k = 0u; k < j; k++) {
        let x = l_get(l_at(m, j, k));
        squares += x * x;
    }
    let root = sqrt(a_get(a_at(m, j, j)) - squares);
    for (var i = j + local; i < N; i += THREADS) {
        var sum = 0.0;
        for (var k = 0u; k < j; k++) {
            sum += l_get(l_at(m, i, k)) * l_get(l_at(m, j, k));
        }
        l_put(l_at(m, i, j), select((a_get(a_at(m, i, j)) - sum) / root, root, i == j));
    }
    storageBarrier();
    workgroupBarrier();
}
