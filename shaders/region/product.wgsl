// y = a b (+ bias), z beside it: tiles of four rows and four columns a thread
for (var tile = local; tile < BATCH * TILES_M * TILES_N; tile += THREADS) {
    let item = tile / (TILES_M * TILES_N);
    let row = tile / TILES_N % TILES_M * 4u;
    let column = tile % TILES_N * 4u;
    // Where the rows of a and the columns of b begin: compilers do not move that out of the loops.
    let a = a_start(item, row);
    let b = b_start(item, column);
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    // Four terms at a time, and what remains of them: `zero` would keep a loop that never runs. A term is four rows of a
    // and four columns of b; beyond the edges is anything, whose sums have no meaning.
    if K >= 4u {
        for (var i = 0u; i < K / 4u + zero; i++) {
            let p = a_square(a, i);
            let q = b_square(b, i);
            s0 += p[0].x * q[0];
            s1 += p[0].y * q[0];
            s2 += p[0].z * q[0];
            s3 += p[0].w * q[0];
            s0 += p[1].x * q[1];
            s1 += p[1].y * q[1];
            s2 += p[1].z * q[1];
            s3 += p[1].w * q[1];
            s0 += p[2].x * q[2];
            s1 += p[2].y * q[2];
            s2 += p[2].z * q[2];
            s3 += p[2].w * q[2];
            s0 += p[3].x * q[3];
            s1 += p[3].y * q[3];
            s2 += p[3].z * q[3];
            s3 += p[3].w * q[3];
        }
    }
    if K % 4u > 0u {
        for (var l = K / 4u * 4u; l < K + zero; l++) {
            let p = a_term(a, l);
            let q = b_term(b, l);
            s0 += p.x * q;
            s1 += p.y * q;
            s2 += p.z * q;
            s3 += p.w * q;
        }
    }
    // One place that stores, so that the code behind it stands here once.
    for (var r = 0u; r < min(M - row, 4u) + zero; r++) {
        finish(item, row + r, column, one_of(r, s0, s1, s2, s3));
    }
}
