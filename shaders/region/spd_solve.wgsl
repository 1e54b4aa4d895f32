// X = A⁻¹ B of each matrix: A = L Lᵀ, L Y = B, Lᵀ X = Y; a column of X by one thread
for (var m = 0u; m < MATRICES + nothing; m++) {
    #import cholesky
    for (var j = local; j < COLUMNS; j += THREADS) {
        for (var i = 0u; i < N + zero; i++) {
            var sum = 0.0;
            for (var k = 0u; k < i; k++) {
                sum += l_get(l_at(m, i, k)) * x_get(x_at(m, k, j));
            }
            x_put(x_at(m, i, j), (b_get(b_at(m, i, j)) - sum) / l_get(l_at(m, i, i)));
        }
        for (var down = 0u; down < N + zero; down++) {
            let i = N - 1u - down;
            var sum = 0.0;
            for (var k = i + 1u; k < N; k++) {
                sum += l_get(l_at(m, k, i)) * x_get(x_at(m, k, j));
            }
            x_put(x_at(m, i, j), (x_get(x_at(m, i, j)) - sum) / l_get(l_at(m, i, i)));
        }
    }
}
