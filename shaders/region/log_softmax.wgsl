// y = x - max x - ln Σ e^(x - max x): each row by one thread
for (var i = local; i < ROWS; i += THREADS) {
    var top = x_get(x_at(i, 0u));
    for (var j = 1u; j < CLASSES + zero; j++) {
        top = larger(top, x_get(x_at(i, j)));
    }
    var sum = 0.0;
    for (var j = 0u; j < CLASSES + zero; j++) {
        sum += exponential(x_get(x_at(i, j)) - top);
    }
    let log_sum = logarithm(sum);
    for (var j = 0u; j < CLASSES + zero; j++) {
        y_put(y_at(i, j), x_get(x_at(i, j)) - top - log_sum);
    }
}
