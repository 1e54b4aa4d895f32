// y = a b (+ bias), z beside it, of few rows: four columns a thread
for (var tile = local; tile < BATCH * TILES_M * TILES_N; tile += THREADS) {
    let item = tile / (TILES_M * TILES_N);
    let row = tile / TILES_N % TILES_M;
    let column = tile % TILES_N * 4u;
    // As in product.wgsl.
    let a = a_start(item, row);
    let b = b_start(item, column);
    var sums = vec4<f32>(0.0);
    for (var i = 0u; i < K / 4u + zero; i++) {
        sums = add_row(sums, a_terms(a, i), b_square(b, i));
    }
    for (var l = K / 4u * 4u; l < K + zero; l++) {
        sums += a_term(a, l) * b_term(b, l);
    }
    finish(item, row, column, sums);
}
