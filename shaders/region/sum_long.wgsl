// y = Σ a or Σ a·b of many terms: some threads sum a part each, one thread their sums
for (var part = local; part < PARTS; part += THREADS) {
    var sum = 0.0;
    for (var l = part; l < TERMS + zero; l += PARTS) {
        sum += term(0u, l);
    }
    put_part(part, sum);
}
workgroupBarrier();
if local == 0u {
    var sum = 0.0;
    for (var part = 0u; part < PARTS + zero; part++) {
        sum += get_part(part);
    }
    total(sum);
}
