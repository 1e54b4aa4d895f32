#!/bin/sh
# Languages as tasks, and translation: sh scripts/languages.sh OUT DATA [STAGE...]
#
# Stages: texts (a language model for each language of the declaration of human rights, from 200 bytes of it), names (what a country is called in a
# language, from 20 pairs), phrases (German phrases in English, with attention and without). DATA holds udhr2.zip, country-names.tsv.gz and
# de-en.tsv.gz; HYPERLOOM names the command (not given: it is built), DEVICE where it computes.
set -eu
cd "$(dirname "$0")/.."
out=$1
data=$2
shift 2
[ $# -gt 0 ] || set -- texts names phrases
mkdir -p "$out"
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
train() {
    name=$1
    shift
    [ -e "$out/$name/report.json" ] && return
    rm -rf "$out/$name"
    "$HYPERLOOM" train "$@" --device "${DEVICE:-cpu}" --out "$out/$name" >"$out/$name.log" 2>&1
    sed -n '/^$/,$p' "$out/$name.log"
}
for stage in "$@"; do
    case $stage in
        texts)
            # Thirty languages are judged on.
            python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$data/udhr2.zip" "$out/udhr"
            find "$out/udhr" -name '*.txt' -size -5000c -exec rm {} +
            train texts --task texts --files "$out"/udhr/* --set texts.held_out=30
            ;;
        names)
            # Languages in Latin letters, and names of up to 64 letters with the English one.
            python3 - "$data/country-names.tsv.gz" >"$out/names.tsv" <<'PY'
import collections, gzip, sys, unicodedata

rows = [line.split("\t") for line in gzip.open(sys.argv[1], "rt").read().splitlines()[1:]]
latin = lambda text: all(not c.isalpha() or "LATIN" in unicodedata.name(c, "") for c in text)
groups = collections.defaultdict(list)
for language, english, name in rows:
    groups[language].append((english, name))
print("language\tenglish\tname")
for language, pairs in groups.items():
    own = [(e, n) for e, n in pairs if latin(n)]
    if len(pairs) >= 180 and len(own) > 0.97 * len(pairs):
        for english, name in own:
            if len(english) + len(name) + 2 <= 64:
                print(f"{language}\t{english}\t{name}")
PY
            train names --pairs "$out/names.tsv" --group language --source english --target name
            ;;
        phrases)
            for net in gru_attention-128 gru-128; do
                train "phrases-$net" --pairs "$data/de-en.tsv.gz" --source de --target en --net $net --steps "${STEPS:-12000}" \
                    --set pairs.test=2000 --set pairs.validation=2000 --set pairs.length=96
            done
            ;;
        *)
            echo "error: no stage '$stage': texts, names, phrases" >&2
            exit 2
            ;;
    esac
done
