//! `hyperloom completions` and `hyperloom man` from outside.

use super::*;

/// What bash is told completes the beginning of a command, and of a flag of it.
#[test]
fn bash_completes_commands_and_flags() {
    let place = Place::new();
    let script = place.ok(&["completions", "bash"]);
    place.write("words.bash", script);
    let completed = |words: &[&str]| -> Vec<String> {
        let list: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
        let last = words.len() - 1;
        let ask = format!(
            "source words.bash; COMP_WORDS=({}); COMP_CWORD={last}; _hyperloom hyperloom '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            list.join(" "),
            words[last],
            words[last - 1],
        );
        let done =
            Command::new("bash").current_dir(place.0.path()).args(["-c", &ask]).output().expect("bash");
        String::from_utf8(done.stdout).unwrap().lines().map(str::to_string).collect()
    };
    assert_eq!(completed(&["hyperloom", "swe"]), ["sweep"]);
    assert!(completed(&["hyperloom", "export", "--o"]).contains(&"--out".to_string()));
    assert_eq!(completed(&["hyperloom", "export", "--to", "o"]), ["onnx"]);
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(place.ok(&["completions", shell]).contains("sweep"), "{shell}");
    }
    let done = place.run(&["completions", "cmd"]);
    assert!(done.code == Some(2) && done.err.contains("powershell"), "{done:?}");
}

#[test]
fn every_command_has_a_page() {
    let place = Place::new();
    assert!(place.ok(&["man", "--out", "pages"]).contains("pages: "));
    let (page, all) = (place.read("pages/hyperloom-export.1"), place.read("pages/hyperloom.1"));
    assert!(page.contains("ONNX file") && all.contains("hyperloom\\-sweep(1)"), "{page}\n{all}");
    place.refused(&["man", "--out", "pages"], &["pages", "exists"]);
}
