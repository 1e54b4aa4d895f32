// y = a b (+ bias), z beside it: tiles of four rows and four columns a thread
for (var tile = local; tile < BATCH * TILES_M * TILES_N; tile += THREADS) {
    let item = tile / (TILES_M * TILES_N);
    let row = tile / TILES_N % TILES_M * 4u;
    let column = tile % TILES_N * 4u;
    // Where the rows of a and the columns of b begin: compilers do not move that out of the loops.
    let a = a_start(item, row);
    let b = b_start(item, column);
    var s = mat4x4<f32>();
    // Four terms at a time, if there are so many, and what is left over, written out. A term is four rows of a and four
    // columns of b; beyond the edges is anything, whose sums have no meaning.
    for (var i = 0u; i < K / 4u + zero; i++) {
        s = add_product(s, a_square(a, i), b_square(b, i));
    }
    for (var l = K / 4u * 4u; l < K + zero; l++) {
        let p = a_term(a, l);
        let q = b_term(b, l);
        s = mat4x4<f32>(s[0] + p.x * q, s[1] + p.y * q, s[2] + p.z * q, s[3] + p.w * q);
    }
    // One place that stores, so that the code behind it stands here once.
    for (var r = 0u; r < min(M - row, 4u) + zero; r++) {
        finish(item, row + r, column, one_of(r, s[0], s[1], s[2], s[3]));
    }
}
