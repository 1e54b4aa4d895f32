//! Good files with random changes, read through the library: used or refused, never a panic.

use hyperloom::data::Table;
use hyperloom::experiment::config::Config;
use hyperloom::experiment::run_folder::{RunFolder, load_network};
use hyperloom::run::Device;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::*;

#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index, usize),
    Insert(Index, u8),
    Cut(Index),
    Number(Index, u8),
}

/// Numbers that are hard to survive.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "18446744073709551615",
    "9223372036854775808",
    "1e999",
    "nan",
    "0.5",
    "4294967296",
    "[]",
    "true",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let one = prop_oneof![
        (at(), 0u8..8).prop_map(|(i, b)| Edit::Flip(i, b)),
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Set(i, b)),
        (at(), 1usize..20).prop_map(|(i, n)| Edit::Remove(i, n)),
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Insert(i, b)),
        at().prop_map(Edit::Cut),
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Number(i, b)),
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Number(i, b)),
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Number(i, b)),
    ];
    prop::collection::vec(one, 1..4)
}

fn changed(good: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let at = |i: &Index| i.index(bytes.len());
        match edit {
            Edit::Flip(i, bit) => {
                let i = at(i);
                bytes[i] ^= 1 << bit;
            }
            Edit::Set(i, b) => {
                let i = at(i);
                bytes[i] = *b;
            }
            Edit::Remove(i, n) => {
                let i = at(i);
                bytes.drain(i..(i + n).min(bytes.len()));
            }
            Edit::Insert(i, b) => {
                let i = at(i);
                bytes.insert(i, *b);
            }
            Edit::Cut(i) => {
                let i = at(i);
                bytes.truncate(i);
            }
            // The first number after a place becomes another.
            Edit::Number(i, which) => {
                let i = at(i);
                let Some(start) = (i..bytes.len()).find(|j| bytes[*j].is_ascii_digit()) else { continue };
                let end = (start..bytes.len())
                    .find(|j| !b"0123456789.e+-".contains(&bytes[*j]))
                    .unwrap_or(bytes.len());
                bytes.splice(start..end, NUMBERS[*which as usize % NUMBERS.len()].bytes());
            }
        }
    }
    bytes
}

/// The message of an error is one line, and names the file.
fn one_line(result: Result<(), hyperloom::Error>) {
    if let Err(e) = result {
        let message = e.to_string();
        assert!(!message.contains('\n') && !message.is_empty() && message.len() < 2000, "{message}");
    }
}

/// A file of data in a folder.
fn bytes_of(files: &Files, name: &str) -> Vec<u8> {
    files[name].clone().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn configurations(edits in edits(), which in 0usize..2) {
        let files = [&*SINE_RUN, &*LINES_RUN][which];
        let text = changed(&bytes_of(files, "run/config.toml"), &edits);
        let text = String::from_utf8_lossy(&text);
        one_line(Config::parse(&text, "c.toml", None).and_then(|c| {
            c.validate()?;
            // What is accepted can be written down and read back.
            assert_eq!(Config::parse(&c.to_toml()?, "again", None)?, c);
            Ok(())
        }));
    }

    /// Anywhere in the file: the hashes notice.
    #[test]
    fn checkpoints(edits in edits()) {
        let place = Place::new();
        let good = bytes_of(&LINES_RUN, "run/checkpoint.safetensors");
        let bytes = changed(&good, &edits);
        place.write("checkpoint.safetensors", &bytes);
        let loaded = RunFolder::open(place.0.path()).and_then(|f| f.load());
        prop_assert!(loaded.is_err() || bytes == good);
        one_line(loaded.map(|_| ()));
    }

    /// Inside the metadata, with hashes made anew: only the checks of what is said there are left.
    #[test]
    fn forged_checkpoints(edits in edits(), key in 0usize..3, class in any::<bool>()) {
        let files = if class { &*CLASSES_RUN } else { &*LINES_RUN };
        let place = Place::new();
        let path = place.path("checkpoint.safetensors");
        place.write("checkpoint.safetensors", bytes_of(files, "run/checkpoint.safetensors"));
        let mut c = Checkpoint::load(&path).unwrap();
        let text = c.metadata.get_mut(["model", "position", "format_of_files"][key]).unwrap();
        *text = String::from_utf8_lossy(&changed(text.as_bytes(), &edits)).into_owned();
        c.save(&path).unwrap();
        let used = RunFolder::open(place.0.path()).and_then(|f| f.model()).and_then(|(model, format)| {
            // What is accepted can be used.
            let target = if class { "state\ncold\n" } else { "height\n1000\n" };
            let (x, y) = target.split_once('\n').unwrap();
            let table = Table::parse("s.csv", format!("x,mood,site,{x}\n1,calm,g,{y}").as_bytes())?;
            let (xs, ys) = (format.inputs(&table)?, format.targets(&table)?);
            let descriptor = format.descriptor(&xs, model.spec.condition.descriptor);
            let task = hyperloom::Task::from_support(xs.clone(), ys).with_descriptor(descriptor);
            let y = model.adapt(&Device::Cpu, &task, Some(1))?.predict(&Device::Cpu, &xs)?;
            format.predictions(&table, &y, None, &[]).map(|_| ())
        });
        one_line(used);
    }

    #[test]
    fn networks(edits in edits(), forge in any::<bool>()) {
        static NETWORK: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let place = plant(&LINES_RUN);
            place.write("s.csv", "x,mood,height\n1,calm,1000\n2,wild,1010\n");
            place.ok(&["adapt", "run", "--support", "s.csv", "--out", "n", "--device", "cpu"]);
            fs::read(place.path("n")).unwrap()
        });
        let place = Place::new();
        let path = place.path("n");
        place.write("n", &*NETWORK);
        if forge {
            let mut c = Checkpoint::load(&path).unwrap();
            let text = c.metadata.get_mut("network").unwrap();
            *text = String::from_utf8_lossy(&changed(text.as_bytes(), &edits)).into_owned();
            c.save(&path).unwrap();
        } else {
            place.write("n", changed(&NETWORK, &edits));
        }
        one_line(load_network(&path).and_then(|(network, format)| {
            let table = Table::parse("q.csv", b"x,mood\n1,calm\n")?;
            let y = network.predict(&Device::Cpu, &format.inputs(&table)?)?;
            format.predictions(&table, &y, None, &[]).map(|_| ())
        }));
    }

    #[test]
    fn queries(edits in edits(), class in any::<bool>()) {
        let (files, text) = match class {
            true => (&*CLASSES_RUN, "x,state\n1,cold\n7,warm\n3,cold\n"),
            false => (&*LINES_RUN, "site,x,mood,height\na,1.5,calm,1000\na,2,\"so, so\",1010\nb,-1e-3,wild,1020\n"),
        };
        static FORMATS: LazyLock<[hyperloom::data::format::Format; 2]> = LazyLock::new(|| {
            [&*LINES_RUN, &*CLASSES_RUN].map(|files| {
                let place = plant(files);
                RunFolder::open(&place.path("run")).unwrap().load().unwrap().format
            })
        });
        prop_assert!(files.contains_key("run"));
        let format = &FORMATS[usize::from(class)];
        let bytes = changed(text.as_bytes(), &edits);
        one_line(Table::parse("q.csv", &bytes).and_then(|table| {
            let x = format.inputs(&table)?;
            assert!(x.iter().all(|v| v.is_finite()) && x.len() % table.rows() == 0);
            let y = format.targets(&table)?;
            assert!(y.iter().all(|v| v.is_finite()) && y.len() % table.rows() == 0);
            let written = format.predictions(&table, &y, None, &[])?;
            assert_eq!(Table::parse("p.csv", &written)?.rows(), table.rows());
            Ok(())
        }));
    }
}
