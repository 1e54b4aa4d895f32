//! How alike texts are: BLEU (Papineni et al. 2002, with the tokens and the smoothing of sacreBLEU: Post 2018) and chrF (Popović 2015).
//!
//! ```
//! use hyperloom::data::score_text::{bleu, chrf};
//!
//! let (said, right) = (["the black cat sat"], ["the black cat sat"]);
//! assert_eq!((bleu(&said, &right), chrf(&said, &right)), (100.0, 100.0));
//! assert!(chrf(&["the black cats sit"], &right) > 70.0);
//! ```

use std::collections::HashMap;
use std::hash::Hash;

/// Longest runs of words that BLEU compares.
const WORDS: usize = 4;
/// Longest runs of characters that chrF compares.
const CHARACTERS: usize = 6;
/// How much recall counts beside precision in chrF, squared.
const BETA2: f64 = 4.0;

/// How often each run of `n` elements stands in a text.
fn runs<T: Clone + Eq + Hash>(text: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    text.windows(n).for_each(|run| *counts.entry(run).or_insert(0) += 1);
    counts
}

/// Runs of `n` elements that two texts share, and those of each.
fn shared<T: Clone + Eq + Hash>(a: &[T], b: &[T], n: usize) -> [usize; 3] {
    let (a, b) = (runs(a, n), runs(b, n));
    let both = a.iter().map(|(run, k)| b.get(run).map_or(0, |other| *k.min(other))).sum();
    [both, a.values().sum(), b.values().sum()]
}

/// BLEU of what was said against one right text each, 0 to 100, over all texts together: the geometric mean of the shares of runs of one to
/// four words that are right, less where too little was said. Words are split as mteval's 13a does.
///
/// # Panics
/// Where there are not as many texts as right ones.
pub fn bleu<S: AsRef<str>>(said: &[S], right: &[S]) -> f64 {
    assert_eq!(said.len(), right.len(), "a right text for each");
    let (mut found, mut lengths) = ([[0; 2]; WORDS], [0; 2]);
    for (said, right) in said.iter().zip(right) {
        let (said, right) = (words(said.as_ref()), words(right.as_ref()));
        lengths = [lengths[0] + said.len(), lengths[1] + right.len()];
        for (n, found) in found.iter_mut().enumerate() {
            let [both, all, _] = shared(&said, &right, n + 1);
            *found = [found[0] + both, found[1] + all];
        }
    }
    if found[0][0] == 0 {
        return 0.0;
    }
    // A share of none counts as half, a quarter, … of one run.
    let mut least = 1.0;
    let mut logs = 0.0;
    for [both, all] in found {
        if all == 0 {
            return 0.0;
        }
        let share = match both {
            0 => {
                least /= 2.0;
                least / all as f64
            }
            both => both as f64 / all as f64,
        };
        logs += share.ln() / WORDS as f64;
    }
    let [said, right] = lengths.map(|n| n as f64);
    let short = if said < right { (1.0 - right / said).exp() } else { 1.0 };
    100.0 * short * logs.exp()
}

/// chrF2 of what was said against one right text each, 0 to 100, over all texts together: precision and recall of runs of one to six
/// characters, blanks left out, recall counting twice.
///
/// # Panics
/// Where there are not as many texts as right ones.
pub fn chrf<S: AsRef<str>>(said: &[S], right: &[S]) -> f64 {
    assert_eq!(said.len(), right.len(), "a right text for each");
    let mut found = [[0; 3]; CHARACTERS];
    for (said, right) in said.iter().zip(right) {
        let [said, right] =
            [said, right].map(|s| s.as_ref().chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>());
        for (n, found) in found.iter_mut().enumerate() {
            let more = shared(&said, &right, n + 1);
            found.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        }
    }
    let both_have: Vec<[f64; 3]> =
        found.iter().filter(|f| f[1] > 0 && f[2] > 0).map(|f| f.map(|n| n as f64)).collect();
    let mean =
        |of: usize| both_have.iter().map(|f| f[0] / f[of]).sum::<f64>() / both_have.len().max(1) as f64;
    let (precision, recall) = (mean(1), mean(2));
    match precision + recall > 0.0 {
        true => 100.0 * (1.0 + BETA2) * precision * recall / (BETA2 * precision + recall),
        false => 0.0,
    }
}

/// The fewest insertions, deletions and exchanges of characters that make one text the other (Levenshtein 1966).
pub fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let exchanged = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// A text in words and signs, as mteval's 13a splits it.
fn words(text: &str) -> Vec<String> {
    let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut apart = String::from(" ");
    for c in text.chars() {
        match c {
            '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/' => apart.extend([' ', c, ' ']),
            _ => apart.push(c),
        }
    }
    apart.push(' ');
    let (digit, sign) = (|c: char| c.is_ascii_digit(), |c: char| c == '.' || c == ',');
    // A point or comma stays in a word between digits only; a hyphen behind a digit is a sign.
    let apart = pairs(&apart, |a, b| (!digit(a) && sign(b)).then(|| format!("{a} {b} ")));
    let apart = pairs(&apart, |a, b| (sign(a) && !digit(b)).then(|| format!(" {a} {b}")));
    let apart = pairs(&apart, |a, b| (digit(a) && b == '-').then(|| format!("{a} {b} ")));
    apart.split_whitespace().map(String::from).collect()
}

/// Two characters after another become what is said of them, from the left, none twice.
fn pairs(text: &str, of: impl Fn(char, char) -> Option<String>) -> String {
    let all: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (String::new(), 0);
    while i < all.len() {
        match all.get(i + 1).and_then(|next| of(all[i], *next)) {
            Some(new) => {
                out.push_str(&new);
                i += 2;
            }
            None => {
                out.push(all[i]);
                i += 1;
            }
        }
    }
    out
}
