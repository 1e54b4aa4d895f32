// y = a b (+ bias), z beside it, of few rows: four columns a thread
for (var tile = local; tile < BATCH * TILES_M * TILES_N; tile += THREADS) {
    let item = tile / (TILES_M * TILES_N);
    let row = tile / TILES_N % TILES_M;
    let column = tile % TILES_N * 4u;
    let a = a_start(item);
    let b = b_start(item);
    var sums = vec4<f32>(0.0);
    // Four terms at a time, and what remains of them.
    for (var l = 0u; l < K / 4u * 4u + zero; l += 4u) {
        let p = a_terms(a, row, l);
        let q = b_square(b, l, column);
        sums += p.x * q[0];
        sums += p.y * q[1];
        sums += p.z * q[2];
        sums += p.w * q[3];
    }
    for (var l = K / 4u * 4u; l < K + zero; l++) {
        sums += a_term(a, row, l) * b_term(b, l, column);
    }
    finish(item, row, column, sums);
}
