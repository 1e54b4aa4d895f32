// y = a b (+ bias), z beside it, of few rows or columns: one element a thread
for (var i = local; i < BATCH * M * N; i += THREADS) {
    let item = i / (M * N);
    let row = i / N % M;
    let column = i % N;
    let a0 = a_start(item) + row * A_ROW;
    let b0 = b_start(item) + column * B_COLUMN;
    var sum = 0.0;
    for (var l = 0u; l < K + zero; l++) {
        sum += a_get(a0 + l * A_COLUMN) * b_get(b0 + l * B_ROW);
    }
    finish(item, row, column, sum);
}
