// y = a b (+ bias), z beside it: tiles of four rows and four columns a thread
for (var tile = local; tile < BATCH * TILES_M * TILES_N; tile += THREADS) {
    let item = tile / (TILES_M * TILES_N);
    let row = tile / TILES_N % TILES_M * 4u;
    let column = tile % TILES_N * 4u;
    // Beyond the edges the last row and column are repeated; their sums are not stored.
    let a0 = a_start(item) + row * A_ROW;
    let a1 = a_start(item) + min(row + 1u, M - 1u) * A_ROW;
    let a2 = a_start(item) + min(row + 2u, M - 1u) * A_ROW;
    let a3 = a_start(item) + min(row + 3u, M - 1u) * A_ROW;
    let b0 = b_start(item) + column * B_COLUMN;
    let b1 = b_start(item) + min(column + 1u, N - 1u) * B_COLUMN;
    let b2 = b_start(item) + min(column + 2u, N - 1u) * B_COLUMN;
    let b3 = b_start(item) + min(column + 3u, N - 1u) * B_COLUMN;
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    for (var l = 0u; l < K + zero; l++) {
        let p = l * A_COLUMN;
        let q = l * B_ROW;
        let v = vec4<f32>(b_get(b0 + q), b_get(b1 + q), b_get(b2 + q), b_get(b3 + q));
        s0 += a_get(a0 + p) * v;
        s1 += a_get(a1 + p) * v;
        s2 += a_get(a2 + p) * v;
        s3 += a_get(a3 + p) * v;
    }
    // One place that stores, so that the code behind it stands here once.
    var sums = array<vec4<f32>, 4>(s0, s1, s2, s3);
    for (var i = 0u; i < 16u + zero; i++) {
        let r = i / 4u;
        let c = i % 4u;
        if row + r < M && column + c < N {
            finish(item, row + r, column + c, sums[r][c]);
        }
    }
}
