//! A simulator of one's own that the command learns in, here a tank that is to be kept half full: it answers lines of JSON.
//! `cargo build --release --example own_simulator && hyperloom train --task exec:target/release/examples/own_simulator --out runs/tank`
use std::io::BufRead;

use serde_json::{Value, json};

fn main() {
    let (mut leak, mut level, mut luck): (Vec<f32>, Vec<f32>, u32) = (vec![], vec![], 1);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let asked: Value = serde_json::from_str(&line).unwrap_or_default();
        let Some((what, of)) = asked.as_object().and_then(|o| o.iter().next()) else { continue };
        let list = of.as_array().cloned().unwrap_or_default();
        let mut draw = || {
            luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (luck >> 8) as f32 / 16_777_216.0
        };
        let answer = match what.as_str() {
            // The valve is closed, half open or open; how fast the tank leaks may differ from world to world.
            "about" => json!({"name": "tank", "observation": 1, "actions": 3, "horizon": 30, "saves": true,
                "context": [{"name": "leak", "usual": 0.1, "range": [0.02, 0.18]}]}),
            "worlds" => {
                let contexts = asked["contexts"].as_array().cloned().unwrap_or_default();
                leak = contexts.iter().map(|c| c[0].as_f64().unwrap_or(0.1) as f32).collect();
                level = vec![0.0; leak.len()];
                luck = asked["seed"].as_u64().unwrap_or(0) as u32;
                json!({})
            }
            "start" => {
                let which: Vec<usize> = list.iter().filter_map(|i| Some(i.as_u64()? as usize)).collect();
                which.iter().for_each(|i| level[*i] = draw());
                json!({"observation": which.iter().map(|i| [level[*i]]).collect::<Vec<_>>()})
            }
            "step" => {
                for (i, valve) in list.iter().enumerate() {
                    level[i] += valve.as_f64().unwrap_or(0.0) as f32 * 0.1 - leak[i];
                }
                let spilt: Vec<bool> = level.iter().map(|l| !(0.0..=1.0).contains(l)).collect();
                let reward = level.iter().zip(&spilt);
                let reward: Vec<f32> =
                    reward.map(|(l, s)| if *s { -10.0 } else { 1.0 - 4.0 * (l - 0.5).powi(2) }).collect();
                let seen: Vec<[f32; 1]> = level.iter().map(|l| [*l]).collect();
                json!({"observation": seen, "reward": reward, "terminated": spilt})
            }
            // All that it needs to go on; halves of the luck, for numbers that are exact in 32 bits.
            "save" => {
                let halves = [(luck >> 16) as f32, (luck & 0xffff) as f32];
                json!({"saved": level.iter().copied().chain(halves).collect::<Vec<_>>()})
            }
            "restore" => {
                let saved: Vec<f32> = list.iter().filter_map(|x| Some(x.as_f64()? as f32)).collect();
                level = saved[..leak.len()].to_vec();
                luck = (saved[leak.len()] as u32) << 16 | saved[leak.len() + 1] as u32;
                json!({})
            }
            _ => json!({"error": "this is not known here"}),
        };
        println!("{answer}");
    }
}
