// y = ln |A| = 2 Σ ln Lᵢᵢ of each matrix, A = L Lᵀ
for (var m = 0u; m < MATRICES + nothing; m++) {
    #import cholesky
    if local == 0u {
        var sum = 0.0;
        for (var j = 0u; j < N + zero; j++) {
            sum += logarithm(l_get(l_at(m, j, j)));
        }
        y_put(y_at(m), sum + sum);
    }
}
